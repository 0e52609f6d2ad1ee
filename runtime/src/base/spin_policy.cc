#include "base/spin_policy.h"

#include <algorithm>

namespace nearcall::base {

bool SpinPolicy::Begin() {
  if (max_spin_ns_ <= 0) return false;
  if (success_ < kSeldom && ++waits_since_probe_ < kProbeInterval) return false;
  start_ns_ = last_tick_ns_ = clock_();
  if (paused_ && start_ns_ < paused_until_ns_) return false;
  paused_ = false;
  waits_since_probe_ = 0;
  return true;
}

bool SpinPolicy::Continue() {
  const int64_t now = clock_();
  if (now - last_tick_ns_ > kDescheduledNs) {
    paused_ = true;
    paused_until_ns_ = now + kOverloadPauseNs;
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
