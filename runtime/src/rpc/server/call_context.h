// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptors.h"
#include "nearcall/server_context.h"
#include "rpc/attachments.h"
#include "rpc/server/cancellation.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

class ServerStreamImpl;

// What a handler knows of its call, its metadata in both directions, and whether anybody waits for it still. Part of
// its call.
class CallContext final : public ServerContext {
 public:
  CallContext(ServerCore& core, Request& request) : core_(core), request_(request), cancellation_(core) {}

  // `stream`: which sends the initial metadata before the answer does; may be null.
  void Begin(ServerStreamImpl* stream) { stream_ = stream; }
  // The client's metadata, and the attachments, from the request. INTERNAL: they are none. RESOURCE_EXHAUSTED: there is
  // no room for these.
  absl::Status Decode();
  // What is to go with the answer, attachments first. `passed`: descriptors of these. Not OK: it cannot.
  absl::StatusOr<Attached> TakeReplyAttachments();
  absl::Status TakeReplyDescriptors(std::span<const int> passed, std::shared_ptr<const base::Descriptors>& taken);
  // Nobody waits for the answer any more. Any thread; runs no code of the user's.
  void Cancel() { cancellation_.Cancel(); }
  void Reset();

  // ServerContext
  const PeerIdentity& peer() const override { return request_.session->client().peer(); }
  absl::Time deadline() const override;
  bool IsCancelled() const override { return cancellation_.cancelled() || request_.expired(); }
  std::stop_token stop_token() override { return cancellation_.Token(request_.deadline); }
  const Metadata& client_metadata() const override { return client_metadata_; }
  Metadata& initial_metadata() override { return initial_metadata_; }
  void SendInitialMetadata() override;
  void WillBlock() override;
  Metadata& trailing_metadata() override { return trailing_metadata_; }
  std::vector<UniqueFd> TakeDescriptors() override { return request_.message.descriptors.Release(); }
  std::vector<UniqueFd>& reply_descriptors() override { return reply_descriptors_; }
  const std::vector<Buffer>& attachments() const override { return attachments_; }
  std::vector<Buffer>& reply_attachments() override { return reply_attachments_; }
  Priority priority() const override { return request_.priority; }
  absl::string_view method() const override { return request_.method_name(); }
  uint64_t sequence_number() const override { return request_.message.header.sequence; }
  absl::string_view transport() const override { return request_.session->transport().name(); }
  std::shared_ptr<Channel> client() override;

 private:
  ServerCore& core_;
  Request& request_;
  ServerStreamImpl* stream_ = nullptr;
  Metadata client_metadata_;
  Metadata initial_metadata_;
  Metadata trailing_metadata_;
  std::vector<UniqueFd> reply_descriptors_;
  std::vector<Buffer> attachments_;
  std::vector<Buffer> reply_attachments_;

  Cancellation cancellation_;
};

}  // namespace nearcall::rpc
