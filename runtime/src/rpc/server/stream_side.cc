// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/stream_side.h"

#include <utility>

#include "base/check.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/incoming_call.h"

namespace nearcall::rpc {

void StreamSide::Leave(internal::Operation& operation) {
  NEARCALL_CHECK(operation_ == nullptr);
  waiting_.ForgetNews();
  operation_ = &operation;
}

void StreamSide::Withdraw(const internal::Operation& operation) {
  if (operation_ == &operation) operation_ = nullptr;
}

// SUBTLE: a turn cannot be taken out of its queue, which belongs to the leader. One whose operation was withdrawn
// meanwhile has nothing to do; and the news is not that of another one that was left since.
void StreamSide::Run() {
  internal::Operation* const operation = call.request().session->calls().Locked([this] {
    queued_ = false;
    return waiting_.has_news() ? std::exchange(operation_, nullptr) : nullptr;
  });
  if (operation != nullptr) operation->Run();
}

void StreamSide::OnNews() {
  if (operation_ == nullptr || queued_) return;
  queued_ = true;
  call.Hold();
  places_.Queue(*this);
}

}  // namespace nearcall::rpc
