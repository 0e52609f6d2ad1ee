// SPDX-License-Identifier: Apache-2.0
#include "session/reader_role.h"

namespace nearcall::session {

bool ReaderRole::Take(Waiting& me) {
  base::ListNode<WaitsForRole>& place = me;
  if (reader_ == nullptr) reader_ = &me;
  if (reader_ == &me) {
    place.Unlink();
    return true;
  }
  if (!place.linked()) queue_.PushBack(me);
  return false;
}

bool ReaderRole::TryTake(Waiting& me) {
  if (reader_ == nullptr) reader_ = &me;
  return reader_ == &me;
}

void ReaderRole::Leave(Waiting& me) {
  base::ListNode<WaitsForRole>& place = me;
  place.Unlink();
  if (reader_ != &me) return;
  // At once: if the role were free until he wakes, a caller that never sleeps would take it again and again, and the
  // others would only run when it loses its CPU.
  reader_ = queue_.PopFront();
  if (reader_ != nullptr) {
    reader_->waiter.Poke();
  } else if (stand_in_ != nullptr && stand_in_ != &me) {
    stand_in_->Poke();
  }
}

void ReaderRole::Tell(Waiting& waiting) {
  waiting.Poke();
  InterruptIfReader(&waiting);
}

void ReaderRole::InterruptIfReader(const Waiting* waiting) {
  if (reader_ == waiting) transport_.Interrupt();
}

void ReaderRole::InterruptReader() {
  if (stand_in_ != nullptr) stand_in_->Poke();
  if (reader_ != nullptr) transport_.Interrupt();
}

}  // namespace nearcall::session
