// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "echo.pb.h"
#include "fake_stream.h"
#include "nearcall/nearcall.h"

namespace nearcall::testing {

class FakeOutcome final : public internal::Outcome {
 public:
  FakeOutcome(absl::Status status, std::string text) : status_(std::move(status)), text_(std::move(text)) {}

  absl::Status Take(google::protobuf::MessageLite& reply) override {
    if (auto* text_reply = dynamic_cast<demo::Reply*>(&reply)) text_reply->set_text(text_);
    return status_;
  }

 private:
  const absl::Status status_;
  const std::string text_;
};

// Remembers the last call and answers with `status`, and with `text` in a demo::Reply.
class FakeChannel : public Channel {
 public:
  ~FakeChannel() override { stream->ends.push_back("channel"); }

  std::string transport() const override { return "fake"; }
  std::string DebugString() const override { return "fake"; }
  ChannelState state() const override { return ChannelState::kReady; }
  bool WaitForStateChange(ChannelState /*last*/, absl::Time /*deadline*/) const override { return false; }

  absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply, const CallOptions& options) override {
    Note(method, &request, options);
    answered = &reply;
    if (auto* text_reply = dynamic_cast<demo::Reply*>(&reply)) text_reply->set_text(text);
    return status;
  }

  void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                 const CallOptions& options, internal::OnOutcome done) override {
    Note(method, &request, options);
    FakeOutcome outcome(status, text);
    std::move(done)(outcome);
  }

  std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                     const google::protobuf::MessageLite* request,
                                                     const CallOptions& options) override {
    Note(method, request, options);
    return std::make_unique<FakeClientStream>(stream);
  }

  std::unique_ptr<internal::ClientCall> BeginCall(const internal::MethodInfo& method,
                                                  const google::protobuf::MessageLite* request,
                                                  const CallOptions& options) override {
    Note(method, request, options);
    return std::make_unique<FakeClientCall>(stream);
  }

  absl::Status SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                          const CallOptions& options) override {
    Note(method, &request, options);
    capacity = options.capacity;
    return status;
  }

  absl::Status status;
  std::string text;
  const std::shared_ptr<StreamLog> stream = std::make_shared<StreamLog>();  // of each stream, or ClientCall
  const internal::MethodInfo* info = nullptr;
  bool has_request = false;
  std::string sent;
  const google::protobuf::MessageLite* answered = nullptr;
  std::optional<absl::Duration> timeout;
  std::optional<Capacity> capacity;

 private:
  void Note(const internal::MethodInfo& method, const google::protobuf::MessageLite* request,
            const CallOptions& options) {
    info = &method;
    has_request = request != nullptr;
    sent = has_request ? request->SerializeAsString() : "";
    timeout = options.timeout;
  }
};

}  // namespace nearcall::testing
