// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/resumptions.h"

namespace nearcall::rpc {

namespace {

// For whom this thread reads, at the moment.
thread_local const Resumptions* reads_for = nullptr;

}  // namespace

Resumptions::Reading::Reading(Resumptions& resumptions) {
  reads_for = &resumptions;
}

Resumptions::Reading::~Reading() {
  reads_for = nullptr;
}

bool Resumptions::TakeAgain(const Request& request, HandlerPlace& place) {
  const bool urgent = request.priority == Priority::kUrgent;
  // While others wait for places it is not served before them.
  if (!place_is_wanted_.load(std::memory_order_relaxed) &&
      core_.slots.TryTake(urgent, request.session->client().account())) {
    return true;
  }
  base::Waiter waiter;
  Queue(place.BeginWait(waiter));
  while (!waiter.finished()) waiter.Wait(base::kNever);
  return place.held();
}

void Resumptions::Queue(Turn& turn) {
  turn.queued_at = base::NowNs();
  if (reads_for == this) return read_.PushBack(turn);
  mailbox_.Queue(turn);
  WakeLeader();
}

void Resumptions::OnPlaceGiven() {
  // News, and not a mere wake-up: a standby would take that while the leader is just about to sleep.
  if (place_is_wanted_.exchange(false, std::memory_order_seq_cst)) WakeLeader();
}

void Resumptions::WakeLeader() {
  if (lead_.NoteNews()) bells_.Wake();
}

void Resumptions::LookAt(uint32_t connection_id) {
  mailbox_.Ring(connection_id);
  WakeLeader();
}

}  // namespace nearcall::rpc
