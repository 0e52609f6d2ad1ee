// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "fake_stream.h"
#include "nearcall/nearcall.h"

namespace nearcall::testing {

class FakeContext final : public ServerContext {
 public:
  const PeerIdentity& peer() const override { return peer_; }
  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  bool IsCancelled() const override { return false; }
  std::stop_token stop_token() override { return {}; }
  const Metadata& client_metadata() const override { return metadata_; }
  Metadata& initial_metadata() override { return metadata_; }
  void WillBlock() override {}
  void SendInitialMetadata() override { initial_metadata_sent = true; }
  Metadata& trailing_metadata() override { return metadata_; }
  std::vector<UniqueFd> TakeDescriptors() override { return {}; }
  const std::vector<Buffer>& attachments() const override { return attachments_; }
  std::vector<UniqueFd>& reply_descriptors() override { return reply_descriptors_; }
  std::vector<Buffer>& reply_attachments() override { return attachments_; }
  Priority priority() const override { return Priority::kNormal; }
  absl::string_view method() const override { return "fake"; }
  uint64_t sequence_number() const override { return 0; }
  absl::string_view transport() const override { return "fake"; }
  std::shared_ptr<Channel> client() override { return nullptr; }

  bool initial_metadata_sent = false;

 private:
  const PeerIdentity peer_{};
  std::vector<UniqueFd> reply_descriptors_;
  std::vector<Buffer> attachments_;
  Metadata metadata_;
};

// A call with `request` in it; keeps what it is answered.
class FakeCall final : public internal::ServerCall {
 public:
  explicit FakeCall(std::string request) : request_(std::move(request)) {}

  FakeContext& context() override { return context_; }
  internal::MethodKind kind() const override { return internal::MethodKind::kUnary; }
  bool ParseRequest(google::protobuf::MessageLite& request) override { return request.ParseFromString(request_); }
  size_t request_size() const override { return request_.size(); }
  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override {
    ++answers;
    answer = status;
    reply_bytes = reply.SerializeAsString();
  }

  std::unique_ptr<internal::PendingAnswer> Defer() override {
    ++deferred;
    if (on_defer) on_defer();
    return std::make_unique<Pending>(*this);
  }

  FakeServerStream& stream() override { return stream_; }
  void FinishStream(const absl::Status& status) override {
    ++answers;
    ++answers_without_reply;
    answer = status;
  }

  std::function<void()> on_defer;
  int deferred = 0;
  bool thrown = false;
  int answers = 0;
  int answers_without_reply = 0;
  bool dropped = false;
  absl::Status answer;
  std::string reply_bytes;

 private:
  class Pending final : public internal::PendingAnswer {
   public:
    explicit Pending(FakeCall& call) : call_(call) {}
    ~Pending() override { call_.dropped = call_.answers == 0; }
    void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override {
      call_.Finish(status, reply);
    }
    void FinishStream(const absl::Status& status) override { call_.FinishStream(status); }
    void FinishThrown() override {
      ++call_.answers;
      call_.thrown = true;
    }

   private:
    FakeCall& call_;
  };

  FakeContext context_;
  FakeServerStream stream_;
  const std::string request_;
};

}  // namespace nearcall::testing
