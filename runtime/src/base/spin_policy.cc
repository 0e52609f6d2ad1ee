// SPDX-License-Identifier: Apache-2.0
#include "base/spin_policy.h"

#include <algorithm>

namespace nearcall::base {

namespace {

// Whether `now` is less than `duration_ns` after `from`, and not before it.
bool Between(int64_t from, int64_t now, int64_t duration_ns) {
  return now >= from && now - from < duration_ns;
}

}  // namespace

bool SpinPolicy::Begin() {
  if (max_spin_ns_ <= 0) return false;
  if (success_ < kSeldom && ++waits_since_probe_ < kProbeInterval) return false;
  start_ns_ = last_tick_ns_ = clock_();
  if (paused_ && Between(paused_at_ns_, start_ns_, kOverloadPauseNs)) return false;
  paused_ = false;
  waits_since_probe_ = 0;
  return true;
}

bool SpinPolicy::Continue() {
  const int64_t now = clock_();
  // Also if it has stepped back, as the counter does of a virtual machine that goes on elsewhere: how long this spin
  // has lasted is not known.
  if (!Between(last_tick_ns_, now, kDescheduledNs)) {
    paused_ = now >= last_tick_ns_;
    paused_at_ns_ = now;
    return false;
  }
  last_tick_ns_ = now;
  if (now - start_ns_ < max_spin_ns_) return true;
  success_ -= success_ / 8;
  return false;
}

void SpinPolicy::OnSuccess() {
  // One success is enough to try again each time; further ones make the policy patient.
  success_ = std::max(success_, kAlways / 2);
  success_ += (kAlways - success_) / 8;
}

}  // namespace nearcall::base
