// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/waiter.h"
#include "wire/reassembler.h"

namespace nearcall::session {

class CompletionQueue;
struct WaitsForRole;
struct WaitsForSlot;
struct IsCompleted;

// A call in flight, seen from the client: who waits, until when, and how it ended. Owned by the caller (on the stack of
// a blocking call) from ClientSession::Begin to End.
//
// The outcome is written by the one who takes the call out of the table, before Complete(); the owner reads it after
// waiter.finished(), or when the call comes out of its completion queue.
struct ClientCall : base::ListNode<WaitsForRole>, base::ListNode<WaitsForSlot>, base::ListNode<IsCompleted> {
  // The outcome stands. Nothing of the call is touched after this.
  void Complete();
  // Whoever waits for it looks again.
  void Poke();

  // Set by the owner before Begin().
  uint64_t method_id = 0;
  size_t lane = 0;
  base::SteadyNs started = 0;
  base::SteadyNs deadline = base::kNever;
  CompletionQueue* completions = nullptr;  // where an asynchronous call goes; nullptr: its caller waits

  // Set by the session.
  uint64_t id = 0;
  bool sent = false;           // all of the request has been handed to the transport (the owner's thread)
  bool slept = false;          // its caller has slept for it (else it was too fast to be worth a clock)
  base::SteadyNs ring_at = 0;  // when to ring the server next; 0: it has not been rung for this call

  base::Waiter waiter;

  // The outcome: a reply, or why there is none.
  absl::Status failure;
  wire::Message reply;
};

}  // namespace nearcall::session
