// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "rpc/server/blocking_habit.h"

namespace nearcall::rpc {

// Who leads, and what that one does. Part of a Lead, under its lock.
struct Leader {
  enum class Does {
    kWork,        // it reads, queues, looks
    kRunHandler,  // it runs a handler
    kSleep,       // it waits in epoll; or there is none, and whoever is woken there leads
  };

  void Become(uint64_t thread) {
    if (id != thread) ++changes;
    id = thread;
    does = Does::kWork;
  }

  void RunHandler(base::SteadyNs now) {
    does = Does::kRunHandler;
    handler_since = now;
    ++handler_turn;
  }

  uint64_t id = 0;  // a Lead::ThreadId; 0: nobody leads
  Does does = Does::kWork;
  base::SteadyNs handler_since = 0;
  BlockingHabit* habit = nullptr;  // of the handler's method
  uint64_t handler_turn = 0;       // how many have begun
  uint64_t changes = 0;            // of who leads
};

}  // namespace nearcall::rpc
