// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "base/cycle_clock.h"

namespace nearcall::base {

// Decides whether a waiting side looks a little longer before it sleeps, and how long. Waking a sleeper across cores
// costs some 30 us on a virtual machine, a cache line crosses in 0.1 us; so spinning for about the cost of one wake-up
// is at most twice as bad as the best choice, and usually 100 times better. Always bounded: who waits in vain sleeps.
//
//   SpinPolicy spin(max_spin_ns);
//   if (!spin.Spin([&] { return transport.Peek(size) != kEmpty; })) { ... arm, sleep ... }
//
// It learns: where spinning has seldom helped it is tried seldom (a probe now and then finds out when that changes),
// and a thread that lost its CPU while it spun (more threads than CPUs) does not spin for a while.
//
// One for each side that waits; used by one thread at a time.
class SpinPolicy {
 public:
  using Clock = int64_t (*)();  // nanoseconds; one that steps back ends a spin, or a pause

  // `max_spin_ns` 0: never spins.
  explicit SpinPolicy(int64_t max_spin_ns, Clock clock = &CycleClock::NowNs)
      : clock_(clock), max_spin_ns_(max_spin_ns) {}

  // Calls `ready` until it is true, or spinning is not (or no longer) worth while. At least once. Returns its last
  // answer.
  template <typename Ready>
  bool Spin(Ready&& ready) {
    if (ready()) return true;
    if (!Begin()) return false;
    for (;;) {
      for (int look = 0; look < kLooksPerTick; ++look) {
        Pause();
        if (ready()) {
          OnSuccess();
          return true;
        }
      }
      // The look comes after the tick: what arrived while the thread had lost its CPU is seen.
      if (!Continue()) return ready();
    }
  }

  int64_t max_spin_ns() const { return max_spin_ns_; }

  // Reading the clock costs about as much as a few looks.
  static constexpr int kLooksPerTick = 4;

  // Longer than a hypervisor usually takes a CPU away for (some hundred times a second for 20 to 100 us each, which
  // says nothing about this machine's threads), shorter than any time slice.
  static constexpr int64_t kDescheduledNs = 200'000;

  // How long a thread that lost its CPU does not spin: some time slices of the others.
  static constexpr int64_t kOverloadPauseNs = 10'000'000;

  // Of the waits of a side where spinning does not help, one in so many spins all the same.
  static constexpr uint32_t kProbeInterval = 32;

 private:
  // Share of spins that helped, as a fraction of kAlways, and where spinning at each wait stops being worth while. A
  // spin that fails costs the maximum, one that helps saves about as much: below a quarter the account is clearly
  // negative.
  static constexpr uint32_t kAlways = 1024;
  static constexpr uint32_t kSeldom = kAlways / 4;

  bool Begin();
  bool Continue();
  void OnSuccess();

  Clock clock_;
  int64_t max_spin_ns_;
  int64_t start_ns_ = 0;
  int64_t last_tick_ns_ = 0;
  int64_t paused_at_ns_ = 0;
  bool paused_ = false;
  uint32_t success_ = kAlways;
  uint32_t waits_since_probe_ = 0;
};

}  // namespace nearcall::base
