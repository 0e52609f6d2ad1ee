// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "incoming_call.h"
#include "nearcall/call_options.h"
#include "nearcall/generic.h"
#include "nearcall/task.h"

namespace nearcall::grpc {

class MethodKinds;

// Where the calls of some services go.
struct Destination {
  std::shared_ptr<Channel> channel;
  std::vector<std::string> services;
  std::unique_ptr<MethodKinds> kinds;
};

// A call of a gRPC client's that goes on as one of ours. Two coroutines, one for each direction, and gRPC own it; the
// last of the three destroys it, and calls `ended`.
class ForwardedCall {
 public:
  // `destination` outlives it.
  ForwardedCall(const Destination& destination, ::grpc::GenericCallbackServerContext& context, std::string method,
                std::function<void()> ended);
  ForwardedCall(const ForwardedCall&) = delete;
  ForwardedCall& operator=(const ForwardedCall&) = delete;

  // What gRPC is given, once, which owns it from then on.
  IncomingCall* Begin();

 private:
  ~ForwardedCall() { ended_(); }

  Task<absl::Status> Serve();
  Task<absl::Status> Unary();
  Task<absl::Status> OneWay();
  Task<absl::Status> ServerStreaming();
  Task<absl::Status> ClientStreaming();
  Task<absl::Status> BidiStreaming();

  // The request of a call that has one: in `message`, its attachments in the options.
  Task<absl::Status> ReadRequest(Bytes& message);
  // What our side answers, to gRPC's, with the end of the call.
  template <typename From>
  Task<absl::Status> Replies(From& from);
  // What gRPC's side asks, to ours, in a coroutine of its own.
  template <typename To>
  void StartRequests(To& to);
  template <typename To>
  Task<> Requests(To& to);

  void End(const absl::Status& status);
  void Release();

  const Destination& destination_;
  const std::string method_;
  const std::function<void()> ended_;
  const GenericCoStub stub_;
  IncomingCall incoming_;
  CallOptions options_;
  // Those of which both directions use our side.
  std::optional<CoWriter<Bytes, Bytes>> writer_;
  std::optional<CoReaderWriter<Bytes, Bytes>> reader_writer_;
  std::atomic<int> owners_{2};
};

}  // namespace nearcall::grpc
