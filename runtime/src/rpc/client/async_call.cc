// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_call.h"

#include <cstring>
#include <utility>

#include "base/exec_state.h"
#include "base/no_memory.h"
#include "rpc/client/call_descriptors.h"

namespace nearcall::rpc {

absl::Status ChannelDestroyed() {
  return absl::CancelledError("the channel was destroyed");
}

AsyncCall::AsyncCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
                     ResponseMetadata* response_metadata)
    : options_(OptionsOf(options, response_metadata)), request_(method, options_, max_message_size) {}

CallOptions AsyncCall::OptionsOf(const CallOptions& options, ResponseMetadata* response_metadata) {
  CallOptions ours = options;
  ours.response_metadata = response_metadata;
  return ours;
}

absl::Status AsyncCall::Prepare(const google::protobuf::MessageLite* message) {
  if (absl::Status status = request_.Prepare(message); !status.ok()) return status;
  if (absl::Status status = KeepDescriptors(); !status.ok()) return status;
  request_.Describe(*this);
  bytes_.Resize(request_.size());
  request_.Serialize(message, bytes_.data());
  return absl::OkStatus();
}

// The caller's are lent until the call has started.
absl::Status AsyncCall::KeepDescriptors() {
  if (options_.descriptors.empty()) return absl::OkStatus();
  absl::StatusOr<base::Descriptors> kept = base::Descriptors::Duplicate(options_.descriptors, nullptr);
  if (!kept.ok()) return base::WithExecState(kept.status(), ExecState::kNotSent);
  descriptors_ = base::Shared(*std::move(kept));
  options_.descriptors = descriptors_->fds();
  return absl::OkStatus();
}

absl::Status AsyncCall::FitTo(const session::ClientSession& session) {
  const size_t envelope = request_.envelope().size();
  const size_t payload = bytes_.size() - envelope;
  const bool changes = request_.SizeFor(session) != bytes_.size();
  base::Buffer fitted(changes ? request_.SizeFor(session) : 0);
  if (absl::Status status = request_.FitTo(session); !status.ok()) return status;
  if (!changes) return absl::OkStatus();
  const std::string& head = request_.envelope();
  if (!head.empty()) std::memcpy(fitted.data(), head.data(), head.size());
  if (payload != 0) std::memcpy(fitted.data() + head.size(), bytes_.data() + envelope, payload);
  bytes_ = std::move(fitted);
  return absl::OkStatus();
}

void AsyncCall::ListenForStop(std::function<void()> cancel) {
  if (options_.stop_token.stop_possible()) on_stop_.emplace(options_.stop_token, std::move(cancel));
}

void AsyncCall::EndUnsent(absl::Status status) {
  failure = base::OrNoMemory([&] { return base::WithExecState(std::move(status), ExecState::kNotSent); });
}

void AsyncCall::TakeAnswer(base::Buffer& spare) {
  answer_.header = reply.header;
  answer_.bytes = std::exchange(reply.bytes, std::move(spare));
  answer_.descriptors = std::move(reply.descriptors);
  status_ = base::OrNoMemory([&] { return request_.StatusOf(failure, answer_); });
}

void AsyncCall::EndUnbegun() {
  base::Buffer spare;
  TakeAnswer(spare);
  End(spare);
}

bool AsyncCall::StartOver() {
  // One that was large has been given away.
  if (bytes_.size() != request_.size()) return false;
  id = 0;
  started = false;
  failure = status_ = absl::OkStatus();
  return true;
}

void CallbackCall::End(base::Buffer& spare) {
  internal::OnOutcome done = std::exchange(done_, nullptr);
  std::move(done)(*this);
  spare = std::move(answer().bytes);
}

absl::Status CallbackCall::Take(google::protobuf::MessageLite& message) {
  if (!status().ok() || request().one_way()) return status();
  return base::OrNoMemory([&] {
    absl::Status parsed = request().Parse(answer(), message);
    return parsed.ok() ? GiveDescriptors(answer(), request().options()) : parsed;
  });
}

void LocalCall::End(base::Buffer& spare) {
  if (!status().ok()) losses_->Note(request().method().full_name, status());
  spare = std::move(answer().bytes);
}

}  // namespace nearcall::rpc
