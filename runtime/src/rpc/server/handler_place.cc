// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/handler_place.h"

#include <utility>

namespace nearcall::rpc {

void HandlerPlace::WaitFor(session::Waiting& waiting) {
  const bool of_handler = runs_on_ == std::this_thread::get_id();
  if (of_handler && stream_wait_ != nullptr) stream_wait_->LeadOnUntil(waiting);
  const bool sleeps = of_handler && !waiting.has_news();
  if (sleeps) Leave();
  waiting.waiter.Wait(request_.deadline);
  // The news is what has just woken it; or else the next wait is none.
  waiting.ForgetNews();
  if (sleeps) TakeAgain();
}

void HandlerPlace::Leave() {
  if (!held_) return;
  held_ = false;
  core_.FreePlace(request_.session->client().account());
}

void HandlerPlace::TakeAgain() {
  if (!held_) held_ = places_.TakeAgain(request_, *this);
}

void HandlerPlace::Return() {
  returned_ = held_;
  Leave();
}

void HandlerPlace::TakeBack() {
  if (std::exchange(returned_, false)) TakeAgain();
}

Turn& HandlerPlace::BeginWait(base::Waiter& waiter) {
  waiter_ = &waiter;
  return *this;
}

// SUBTLE: the thread goes on, and may end the call, at the last step.
void HandlerPlace::EndWait(bool has_place) {
  base::Waiter* const waiter = std::exchange(waiter_, nullptr);
  held_ = has_place;
  waiter->Finish();
}

}  // namespace nearcall::rpc
