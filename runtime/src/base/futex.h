// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace nearcall::base {

// futex(2). What is done is said by the place that calls, never by a word in memory: a peer may write the word, and so
// it must not choose the operation. Nothing here ends the process, whatever the kernel says.

// Who may sleep on the word: threads of this process only, or whoever has its page mapped.
enum class FutexScope { kProcess, kShared };

// Sleeps while `word` is `expected`, until woken or `until`. 0 if woken, else the errno: EAGAIN (the word was another
// one), ETIMEDOUT, EINTR, or what nobody has foreseen.
int FutexWait(std::atomic<uint32_t>& word, uint32_t expected, SteadyNs until, FutexScope scope);

inline constexpr int kFutexAll = 0x7fffffff;

// Wakes up to `count` sleepers. The address is only a key to the kernel, the word is not read. A failure wakes nobody,
// or not all, and there is nothing to be done about it.
void FutexWake(std::atomic<uint32_t>& word, int count, FutexScope scope);

}  // namespace nearcall::base
