// SPDX-License-Identifier: Apache-2.0
#include "base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace nearcall::base {

namespace {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free,
              "a futex is a plain word");

constexpr int FlagOf(FutexScope scope) {
  return scope == FutexScope::kProcess ? FUTEX_PRIVATE_FLAG : 0;
}

}  // namespace

int FutexWait(std::atomic<uint32_t>& word, uint32_t expected, SteadyNs until, FutexScope scope) {
  const timespec deadline = ToTimespec(until);
  // FUTEX_WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC.
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FlagOf(scope), expected,
                                until == kNever ? nullptr : &deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == 0 ? 0 : errno;
}

void FutexWake(std::atomic<uint32_t>& word, int count, FutexScope scope) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE | FlagOf(scope), count, nullptr, nullptr, 0);
}

}  // namespace nearcall::base
