// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_call.h"

#include "base/exec_state.h"
#include "base/no_memory.h"

namespace nearcall::rpc {

absl::Status ChannelDestroyed() {
  return absl::CancelledError("the channel was destroyed");
}

absl::Status AsyncCall::Prepare(const google::protobuf::MessageLite& message) {
  if (absl::Status status = request_.Prepare(&message); !status.ok()) return status;
  request_.Describe(*this);
  bytes_.Resize(request_.size());
  request_.Serialize(&message, bytes_.data());
  return absl::OkStatus();
}

void AsyncCall::ListenForStop(std::function<void()> cancel) {
  // (One that is local is not its caller's any more.)
  if (options_.stop_token.stop_possible() && !is_local()) on_stop_.emplace(options_.stop_token, std::move(cancel));
}

void AsyncCall::EndUnsent(absl::Status status) {
  failure = base::OrNoMemory([&] { return base::WithExecState(std::move(status), ExecState::kNotSent); });
}

void AsyncCall::TakeAnswer(base::Buffer& spare) {
  answer_.header = reply.header;
  answer_.bytes = std::exchange(reply.bytes, std::move(spare));
  status_ = base::OrNoMemory([&] { return request_.StatusOf(failure, answer_); });
}

void AsyncCall::StartOver() {
  id = 0;
  started = false;
  failure = status_ = absl::OkStatus();
}

void AsyncCall::RunCallback(base::Buffer& spare) {
  if (is_local()) {
    if (!status_.ok()) losses_->Note(request_.method().full_name, status_);
  } else {
    internal::OnOutcome done = std::exchange(done_, nullptr);
    std::move(done)(*this);
  }
  spare = std::move(answer_.bytes);
}

absl::Status AsyncCall::Take(google::protobuf::MessageLite& message) {
  return status_.ok() && !request_.one_way() ? base::OrNoMemory([&] { return request_.Parse(answer_, message); })
                                             : status_;
}

}  // namespace nearcall::rpc
