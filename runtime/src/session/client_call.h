// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "session/stream.h"
#include "session/waiting.h"
#include "wire/reassembler.h"

namespace nearcall::session {

class CompletionQueue;

// What has happened to an asynchronous call: its end, or news of one of its sides. Comes out of a CompletionQueue.
struct Completion : base::ListNode<Completion> {
  explicit Completion(bool of_end) : is_end(of_end) {}

  const bool is_end;  // then it is the ClientCall
};

// A call in flight, seen from the client: which it is, who waits for its end, and how it ended. Owned by its caller
// from its beginning to Callers::Release.
//
// The outcome is written by the one who takes the call out of the table, before Complete(); the owner reads it after
// waiter.finished(), or when the call comes out of its completion queue.
struct ClientCall : Completion {
  ClientCall() : Completion(true) {}

  // The outcome stands. Nothing of the call is touched after this.
  void Complete();

  // Set by the owner before it begins.
  uint64_t method_id = 0;
  size_t lane = 0;
  base::SteadyNs started = 0;
  base::SteadyNs deadline = base::kNever;
  Waiting* waiting = nullptr;              // the thread that waits for it
  CompletionQueue* completions = nullptr;  // where it goes when it has ended, if that thread waits for other calls too
  Stream* stream = nullptr;                // if it streams; then `waiting` is who reads

  // Set by the session; 0: it has not begun.
  uint64_t id = 0;

  // The outcome: a reply, or why there is none.
  absl::Status failure;
  wire::Message reply;
};

}  // namespace nearcall::session
