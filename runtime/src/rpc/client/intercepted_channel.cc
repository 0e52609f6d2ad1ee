// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/intercepted_channel.h"

#include <utility>

#include "base/no_memory.h"
#include "base/thread.h"
#include "google/protobuf/message_lite.h"
#include "rpc/client/intercepted_call.h"
#include "rpc/client/intercepted_stream.h"

namespace nearcall::rpc {

namespace {

// Where the metadata of an answer go: to the caller, or to `ours` if he does not want them. Empty until then.
ResponseMetadata& PlaceOfMetadata(CallOptions& options, ResponseMetadata& ours) {
  if (options.response_metadata == nullptr) options.response_metadata = &ours;
  *options.response_metadata = {};
  return *options.response_metadata;
}

// A call with a callback, from its start to its end.
class CallbackInterception final : private internal::Outcome {
 public:
  CallbackInterception(ClientInterception::All interceptors, const internal::MethodInfo& method,
                       const CallOptions& options)
      : interception_(std::move(interceptors), method, options) {}

  const CallOptions& Start(internal::OnOutcome done) {
    done_ = std::move(done);
    metadata_ = &PlaceOfMetadata(interception_.options(), ours_);
    interception_.Start().IgnoreError();
    return interception_.options();
  }

  // With what has come of it.
  void End(internal::Outcome& outcome) {
    outcome_ = &outcome;
    std::move(done_)(*this);
  }

 private:
  absl::Status Take(google::protobuf::MessageLite& reply) override {
    if (!interception_.refusal().ok()) return interception_.refusal();
    absl::Status status = outcome_->Take(reply);
    interception_.End(status, *metadata_);
    return status;
  }

  ClientInterception interception_;
  ResponseMetadata ours_;
  const ResponseMetadata* metadata_ = nullptr;
  internal::OnOutcome done_;
  internal::Outcome* outcome_ = nullptr;
};

}  // namespace

// call(options), which blocks, between its start and its end.
template <typename Call>
absl::Status InterceptedChannel::Intercept(const internal::MethodInfo& method, const CallOptions& options,
                                           Call&& call) {
  const base::CancelDisabled uncancelled;
  return base::OrNoMemory([&] {
    ClientInterception interception(interceptors_, method, options);
    ResponseMetadata ours;
    const ResponseMetadata& metadata = PlaceOfMetadata(interception.options(), ours);
    if (absl::Status refusal = interception.Start(); !refusal.ok()) return refusal;
    absl::Status status = call(interception.options());
    interception.End(status, metadata);
    return status;
  });
}

absl::Status InterceptedChannel::BlockingCall(const internal::MethodInfo& method,
                                              const google::protobuf::MessageLite& request,
                                              google::protobuf::MessageLite& reply, const CallOptions& options) {
  absl::Status status = Intercept(method, options, [&](const CallOptions& changed) {
    return channel_->BlockingCall(method, request, reply, changed);
  });
  if (!status.ok()) reply.Clear();
  return status;
}

absl::Status InterceptedChannel::SendOneWay(const internal::MethodInfo& method,
                                            const google::protobuf::MessageLite& request, const CallOptions& options) {
  return Intercept(method, options,
                   [&](const CallOptions& changed) { return channel_->SendOneWay(method, request, changed); });
}

void InterceptedChannel::StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                                   const CallOptions& options, internal::OnOutcome done) {
  const base::CancelDisabled uncancelled;
  std::unique_ptr<CallbackInterception> call;
  base::UntilThereIsMemory([&] { call = std::make_unique<CallbackInterception>(interceptors_, method, options); });
  const CallOptions& changed = call->Start(std::move(done));
  channel_->StartCall(method, request, changed,
                      [call = std::move(call)](internal::Outcome& outcome) { call->End(outcome); });
}

std::unique_ptr<internal::ClientStream> InterceptedChannel::OpenStream(const internal::MethodInfo& method,
                                                                       const google::protobuf::MessageLite* request,
                                                                       const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  std::unique_ptr<InterceptedStream> stream;
  base::UntilThereIsMemory([&] { stream = std::make_unique<InterceptedStream>(interceptors_, method, options); });
  stream->Open(*channel_, request);
  return stream;
}

std::unique_ptr<internal::ClientCall> InterceptedChannel::BeginCall(const internal::MethodInfo& method,
                                                                    const google::protobuf::MessageLite* request,
                                                                    const CallOptions& options) {
  const base::CancelDisabled uncancelled;
  std::unique_ptr<InterceptedCall> call;
  base::UntilThereIsMemory([&] { call = std::make_unique<InterceptedCall>(interceptors_, method, options); });
  call->Begin(*channel_, request);
  return call;
}

}  // namespace nearcall::rpc
