// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"

namespace nearcall::base {

// What is to be called at points in time, each thing once, and the descriptor that tells when the first is due. That
// goes off then or before: what is removed leaves it as it is, for one wake-up for nothing costs less than a system
// call for each removal.
//
// Not synchronised: the reactor's lock guards it. Calls nobody, and what it hands out is destroyed by whoever asked
// for it, for what that owns may be anything.
class Timers {
 public:
  using Id = uint64_t;  // from 1; whose, the owner says
  using Callback = std::function<void()>;
  using All = std::map<std::pair<SteadyNs, Id>, Callback>;
  struct Due {
    Id id = 0;  // 0: none is
    Callback callback;
  };

  // `timer`: of timerfd_create(2), CLOCK_MONOTONIC and not blocking. Readable once the first is due: whoever has seen
  // that asks GoesOff(), takes those that are due, and calls SetAnew().
  explicit Timers(Fd timer) : timer_(std::move(timer)) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // All of it, or nothing (std::bad_alloc).
  void Add(Id id, SteadyNs when, Callback callback);
  // An empty one: there is none of that id.
  Callback Remove(Id id);
  All RemoveAll();

  // False: it has been set anew since it was readable.
  bool GoesOff();
  // The first, if it is due.
  Due TakeDue(SteadyNs now);
  // The descriptor goes off when the first is due.
  void SetAnew();

 private:
  const Fd timer_;
  All timers_;
  std::map<Id, SteadyNs> times_;
  SteadyNs set_to_ = kNever;  // timer_
};

}  // namespace nearcall::base
