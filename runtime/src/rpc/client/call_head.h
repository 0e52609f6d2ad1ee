// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/method.h"
#include "rpc/attachments.h"
#include "rpc/client/call_elements.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// Whether a call that has ended with `status` over `session` is to be sent over the next connection: this one ended, or
// was told to, between our looking at it and our using it, and no handler has seen the call. (A handler that answers
// UNAVAILABLE has executed the call.) A session whose server takes no more calls is retired.
bool GoesElsewhere(session::ClientSession& session, const absl::Status& status);

// What is common to calls of every kind and style: from the options to the header of the request, and from the answer
// to the status. Used by one thread at a time; `method`, unless it is a GenericMethod, and `options` must outlive it.
class CallHead {
 public:
  CallHead(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size);

  // All that can be wrong before a connection is needed: INVALID_ARGUMENT (metadata), RESOURCE_EXHAUSTED (size),
  // DEADLINE_EXCEEDED, CANCELLED. Caches the sizes of `request`, which is null if the client streams.
  absl::Status Prepare(const google::protobuf::MessageLite* request);

  // What `session` wants of the request: puts the method's name into the envelope, or takes it out, and finds out how
  // attachments travel; size() changes. RESOURCE_EXHAUSTED: it is more than the server takes. FAILED_PRECONDITION: it
  // knows no attachments. After an exception it is as before.
  absl::Status FitTo(const session::ClientSession& session);
  // Whether that changes nothing.
  bool Fits(const session::ClientSession& session) const {
    return session.terms().server_wants_method_names == has_name() && AttachedFit(session);
  }

  const internal::MethodInfo& method() const { return method_; }
  const CallOptions& options() const { return options_; }
  bool one_way() const { return method_.kind == internal::MethodKind::kOneWay; }
  bool fail_fast() const { return options_.when_full == WhenFull::kFailFast; }
  base::SteadyNs deadline() const { return deadline_; }
  size_t max_message_size() const { return max_message_size_; }
  // Of its streams.
  const CallElements& elements() const { return elements_; }

  // What the session has to know of the call.
  void Describe(session::ClientCall& call) const;

  // Envelope, payload, and what of the attachments is behind it.
  size_t size() const { return envelope_.size() + payload_size_ + attached_.tail_size(); }
  const std::string& envelope() const { return envelope_; }
  size_t payload_size() const { return payload_size_; }
  const Attached& attached() const { return attached_; }
  // All that go with the request: the options', and those of attachments.
  std::span<const int> descriptors() const { return attached_.DescriptorsBeside(options_.descriptors); }
  wire::FrameHeader Header(uint64_t call_id) const;
  // To `to`, which has size() bytes.
  void Serialize(const google::protobuf::MessageLite* request, std::byte* to) const;

  // How the call has ended: `failure`, or what `answer` says. Fills in the response metadata.
  absl::Status StatusOf(const absl::Status& failure, const wire::Message& answer) const;
  // The reply in an answer of which StatusOf() was OK.
  absl::Status Parse(const wire::Message& answer, google::protobuf::MessageLite& reply) const;

 private:
  absl::Status ReadStatus(const absl::Status& failure, const wire::Message& answer) const;
  absl::Status CheckPeerLimit(const session::ClientSession& session) const;
  bool has_name() const { return envelope_.size() != metadata_size_; }
  bool AttachedFit(const session::ClientSession& session) const {
    return options_.attachments.empty() || attached_.IsFor(session.side());
  }

  const std::shared_ptr<const void> keep_method_;
  const internal::MethodInfo& method_;
  const CallOptions& options_;
  const size_t max_message_size_;
  const Priority priority_;
  const base::SteadyNs started_;
  const base::SteadyNs deadline_;
  const CallElements elements_;
  std::string envelope_;  // metadata, and perhaps the method's name
  size_t metadata_size_ = 0;
  size_t payload_size_ = 0;
  Attached attached_;
};

}  // namespace nearcall::rpc
