// SPDX-License-Identifier: Apache-2.0
#include "session/late_ring.h"

#include <algorithm>

namespace nearcall::session {

namespace {

// After these many times the usual latency it is late.
constexpr int64_t kLateFactor = 4;

// How long a stream rings for what it has sent last.
constexpr int64_t kStreamRingsNs = 1'000'000'000;

}  // namespace

base::SteadyNs LateRing::When(const Waiting& waiting) const {
  const base::SteadyNs since = waiting.since.load(std::memory_order_relaxed);
  const base::SteadyNs ring_at = waiting.ring_at.load(std::memory_order_relaxed);
  if (since == 0) return base::kNever;
  if (ring_at != 0) return ring_at;
  const int64_t usual = usual_latency_ns_[waiting.lane].load(std::memory_order_relaxed);
  return since + std::clamp(kLateFactor * usual, base::kWatchdogMinNs, base::kWatchdogMaxNs);
}

bool LateRing::IsDue(Waiting& waiting, base::SteadyNs now) const {
  if (now < When(waiting)) return false;
  const base::SteadyNs waited = now - waiting.since.load(std::memory_order_relaxed);
  // By then the server has looked. That nothing comes is a stream's usual state.
  if (waiting.of_stream && waited > kStreamRingsNs) {
    waiting.AwaitNothing();
    return false;
  }
  waiting.ring_at.store(now + std::min(waited, base::kBusyWaitSliceNs), std::memory_order_relaxed);
  return true;
}

void LateRing::Learn(const Waiting& waiting, base::SteadyNs now) {
  std::atomic<int64_t>& usual = usual_latency_ns_[waiting.lane];
  const int64_t before = usual.load(std::memory_order_relaxed);
  // One that took long (a lost time slice, a slow handler) must not delay the ring of the next ones much.
  const int64_t latency = std::min(now - waiting.since.load(std::memory_order_relaxed),
                                   std::max(kLateFactor * before, base::kWatchdogMinNs));
  usual.store(before + (latency - before) / 8, std::memory_order_relaxed);
}

}  // namespace nearcall::session
