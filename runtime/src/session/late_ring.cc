// SPDX-License-Identifier: Apache-2.0
#include "session/late_ring.h"

#include <algorithm>

namespace nearcall::session {

namespace {

// After these many times the usual latency it is late.
constexpr int64_t kLateFactor = 4;

}  // namespace

base::SteadyNs LateRing::When(const Waiting& waiting) const {
  if (waiting.since == 0) return base::kNever;
  if (waiting.ring_at != 0) return waiting.ring_at;
  const int64_t usual = usual_latency_ns_[waiting.lane].load(std::memory_order_relaxed);
  return waiting.since + std::clamp(kLateFactor * usual, base::kWatchdogMinNs, base::kWatchdogMaxNs);
}

bool LateRing::IsDue(Waiting& waiting, base::SteadyNs now) const {
  if (now < When(waiting)) return false;
  waiting.ring_at = now + std::min(now - waiting.since, base::kBusyWaitSliceNs);
  return true;
}

void LateRing::Learn(const Waiting& waiting, base::SteadyNs now) {
  std::atomic<int64_t>& usual = usual_latency_ns_[waiting.lane];
  const int64_t before = usual.load(std::memory_order_relaxed);
  // One that took long (a lost time slice, a slow handler) must not delay the ring of the next ones much.
  const int64_t latency = std::min(now - waiting.since, std::max(kLateFactor * before, base::kWatchdogMinNs));
  usual.store(before + (latency - before) / 8, std::memory_order_relaxed);
}

}  // namespace nearcall::session
