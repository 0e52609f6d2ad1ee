// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "session/active_call.h"
#include "session/inbox.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// The calls of one client, each in the slot that the client has given it: where a cancel, or an element, finds them.
//
// Thread-safe. Its lock is the session's: it guards the streams of the calls too.
class ServedCalls {
 public:
  // `max_calls`: that the client was granted. `on_removed`: hears of each that is over; called without the lock.
  explicit ServedCalls(size_t max_calls, std::function<void()> on_removed = {})
      : max_calls_(max_calls), on_removed_(std::move(on_removed)) {}
  ServedCalls(const ServedCalls&) = delete;
  ServedCalls& operator=(const ServedCalls&) = delete;

  // From its being read to its being done with. A cancel that came before the call itself counts, of all too. INTERNAL:
  // its slot is not the client's to use; the call has not been added.
  absl::Status Add(ActiveCall& call);
  void Remove(ActiveCall& call) ABSL_LOCKS_EXCLUDED(mutex_);

  // What has come for a stream; of a call that has been answered nothing is wanted any more. INTERNAL: it must not
  // come. `why_dropped` says why an element of that size is not taken, with which its call ends.
  using WhyDropped = absl::FunctionRef<absl::Status(Inbox::Event event, size_t size)>;
  absl::Status Deliver(Inbox::Event event, wire::Message& message, WhyDropped why_dropped);

  void Cancel(uint64_t call_id);
  // And those that are added later. One-way calls only if `one_way_too`.
  void CancelAll(bool one_way_too);

  // Of streams that the server itself offers, with UNAVAILABLE.
  void FailStandard(absl::string_view why);

  size_t max_calls() const { return max_calls_; }
  size_t count();
  size_t streams();

  // Under the session's lock.
  template <typename Do>
  auto Locked(Do&& something) {
    base::MutexLock lock(mutex_);
    return something();
  }

  // Calls `visit` under the session's lock, until it returns true.
  template <typename Visit>
  void ForEachUntil(Visit&& visit) {
    base::MutexLock lock(mutex_);
    calls_.ForEachUntil(visit);
  }

 private:
  // What the client uses under one number: a call, and a cancel that has come before its call.
  struct Slot {
    ActiveCall* call = nullptr;
    uint64_t early_cancel = 0;
  };

  absl::Status TakeSlot(ActiveCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Slot* SlotOf(uint64_t call_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_calls_;
  const std::function<void()> on_removed_;

  base::Mutex mutex_;
  base::List<ActiveCall> calls_ ABSL_GUARDED_BY(mutex_);
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // as many as the client has used yet
  bool all_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool one_way_too_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::session
