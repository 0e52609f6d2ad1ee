// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_call.h"

#include <cstring>
#include <utility>

#include "base/exec_state.h"
#include "base/no_memory.h"
#include "rpc/client/call_descriptors.h"
#include "rpc/serialize.h"

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
  if (absl::Status status = KeepDescriptors(options_, kept_); !status.ok()) return status;
  descriptors_ = kept_;
  request_.Describe(*this);
  bytes_.Resize(request_.size());
  request_.Serialize(message, bytes_.data());
  envelope_in_bytes_ = request_.envelope().size();
  return absl::OkStatus();
}

absl::Status AsyncCall::FitTo(const session::ClientSession& session) {
  if (!request_.Fits(session)) bytes_fit_ = false;
  if (absl::Status status = request_.FitTo(session); !status.ok()) return status;
  if (bytes_fit_) return absl::OkStatus();
  base::Buffer fitted(request_.size());
  const std::string& head = request_.envelope();
  const size_t payload = request_.payload_size();
  if (!head.empty()) std::memcpy(fitted.data(), head.data(), head.size());
  if (payload != 0) std::memcpy(fitted.data() + head.size(), bytes_.data() + envelope_in_bytes_, payload);
  SerializeTail(request_.attached().tail(), fitted.bytes().subspan(head.size() + payload));
  bytes_ = std::move(fitted);
  envelope_in_bytes_ = head.size();
  absl::Status kept = KeepAttached();
  bytes_fit_ = kept.ok();
  return kept;
}

// They leave when there is room.
absl::Status AsyncCall::KeepAttached() {
  if (request_.attached().passed().empty()) {
    descriptors_ = kept_;
    return absl::OkStatus();
  }
  return CopyDescriptors(request_.descriptors(), descriptors_);
}

void AsyncCall::ListenForStop(std::function<void()> cancel) {
  if (options_.stop_token.stop_possible()) on_stop_.emplace(options_.stop_token, std::move(cancel));
}

void AsyncCall::EndUnsent(absl::Status status) {
  failure = base::OrNoMemory([&] { return base::WithExecState(std::move(status), ExecState::kNotSent); });
}

void AsyncCall::TakeAnswer() {
  status_ = base::OrNoMemory([&] { return request_.StatusOf(failure, reply); });
}

void AsyncCall::EndUnbegun() {
  TakeAnswer();
  base::Buffer spare;
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
    return parsed.ok() ? GiveEnclosed(answer(), request().options()) : parsed;
  });
}

void LocalCall::End(base::Buffer& spare) {
  if (!status().ok()) losses_->Note(request().method().full_name, status());
  spare = std::move(answer().bytes);
}

}  // namespace nearcall::rpc
