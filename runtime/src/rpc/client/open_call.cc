// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/open_call.h"

#include <utility>

#include "rpc/client/call_descriptors.h"

namespace nearcall::rpc {

OpenCall::OpenCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
    : AsyncCall(method, options, max_message_size, &last_metadata_), reading_(*this) {}

void OpenCall::Cancel() {
  if (ended()) return;
  base::MutexLock lock(cancel_mutex_);
  cancelled_ = true;
  if (cancel_) cancel_();
}

void OpenCall::ListenForStop(std::function<void()> cancel) {
  {
    base::MutexLock lock(cancel_mutex_);
    cancel_ = cancel;
    if (cancelled_) cancel_();
  }
  AsyncCall::ListenForStop(std::move(cancel));
}

void OpenCall::StopListening() {
  AsyncCall::StopListening();
  base::MutexLock lock(cancel_mutex_);
  cancel_ = nullptr;
}

void OpenCall::End(base::Buffer& spare) {
  set_ended();
  reading_.Tell();
  if (taken_.load(std::memory_order_acquire)) spare = std::move(answer().bytes);
}

absl::Status OpenCall::TakeReply(google::protobuf::MessageLite* to) {
  absl::Status ended = status();
  if (ended.ok() && to != nullptr && !request().one_way()) ended = request().Parse(answer(), *to);
  if (ended.ok()) ended = GiveEnclosed(answer(), request().options());
  taken_.store(true, std::memory_order_release);
  return ended;
}

}  // namespace nearcall::rpc
