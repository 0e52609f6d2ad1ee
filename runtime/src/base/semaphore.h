// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace nearcall::base {

// A counting semaphore in one word of memory that another process may share, and write: a hint with a memory, on which
// one thread sleeps. libc's semaphore is none of that kind: it takes from its own memory which operation the kernel is
// asked for, and ends the process if the kernel does not like it.
//
// Whatever is written there, each function makes the system calls that stand in its source, and returns: Wait() at
// `until` at the latest, or soon after it. A count that wraps, or is taken away, is a wake-up lost; a count that
// appears is one too many. Memory of zeros is a semaphore without a count.
//
// Post, PostToAll: any thread of any process. Wait: one thread at a time.
class Semaphore {
 public:
  // The one that stands at `word`, which outlives this object.
  explicit Semaphore(std::atomic<uint32_t>& word) : word_(word) {}

  // One more, and one sleeper is woken. Always a system call, because whether somebody sleeps says only memory that is
  // not believed: who posts has reason to think so.
  void Post();

  // One more, and all sleepers are woken: those too that a peer has put in front of the one that is meant.
  void PostToAll();

  // Sleeps until there is a count, and takes all of it, or until `until`. True if there was one, or somebody has woken
  // this thread: a peer may have taken the count away meanwhile.
  bool Wait(SteadyNs until);

 private:
  bool Take();
  bool Sleep(SteadyNs until);

  std::atomic<uint32_t>& word_;
};

}  // namespace nearcall::base
