// SPDX-License-Identifier: Apache-2.0
#include "base/semaphore.h"

#include <time.h>

#include <algorithm>
#include <cerrno>

#include "base/futex.h"

namespace nearcall::base {

namespace {

// How long a thread rests that the kernel does not let sleep on the word.
constexpr int64_t kRestNs = 1'000'000;

void Rest(SteadyNs until) {
  SleepUntil(std::min(until, NowNs() + kRestNs));
}

}  // namespace

void Semaphore::Post() {
  // Release: pairs with the acquire in Take(). It wraps: see the class.
  word_.fetch_add(1, std::memory_order_release);
  FutexWake(word_, 1, FutexScope::kShared);
}

void Semaphore::PostToAll() {
  word_.fetch_add(1, std::memory_order_release);
  FutexWake(word_, kFutexAll, FutexScope::kShared);
}

// In one step, however large the count is.
bool Semaphore::Take() {
  return word_.exchange(0, std::memory_order_acquire) != 0;
}

bool Semaphore::Wait(SteadyNs until) {
  bool rung = false;
  while (!Take() && !rung) {
    // The own clock, because what the kernel returns may be of the peer's making.
    if (NowNs() >= until) return false;
    rung = Sleep(until);
  }
  return true;
}

// True if somebody has woken this thread, or the count was not 0 when the kernel looked.
bool Semaphore::Sleep(SteadyNs until) {
  switch (FutexWait(word_, 0, until, FutexScope::kShared)) {
    case 0:
    case EAGAIN:
      return true;
    case EINTR:
    case ETIMEDOUT:
      return false;
    default:
      Rest(until);
      return false;
  }
}

}  // namespace nearcall::base
