// SPDX-License-Identifier: Apache-2.0
#include "bench/pipeline.h"

#include <atomic>
#include <latch>
#include <vector>

#include "base/clock.h"
#include "bench/worker.h"

namespace nearcall::bench {

namespace {

class Pipeline {
 public:
  Pipeline(Subject& subject, const Batch& batch)
      : slots_(static_cast<size_t>(batch.in_flight)),
        ended_(batch.in_flight),
        end_ns_(base::NowNs() + batch.duration_ns) {
    async_ = subject.MakeAsync(slots_.size(), batch.size, [this](size_t slot) { OnAnswer(slot); });
    if (async_ == nullptr) Die("no asynchronous calls there");
  }

  BatchResult Run() {
    BatchResult result{.begun_ns = base::NowNs(), .latency = {}};
    for (size_t i = 0; i < slots_.size(); ++i) Start(i);
    ended_.wait();
    result.ended_ns = base::NowNs();
    result.in_calls_us = static_cast<double>(result.ended_ns - result.begun_ns) / 1000;
    for (const Slot& slot : slots_) {
      for (const float us : slot.latencies_us) result.latency.Add(static_cast<double>(us));
    }
    result.calls = static_cast<double>(result.latency.count());
    result.min_calls = result.max_calls = result.calls;
    return result;
  }

 private:
  // Answers of one slot come one after the other, but on any thread.
  struct Slot {
    int64_t started_ns = 0;
    std::vector<float> latencies_us;
  };

  void Start(size_t slot) {
    slots_[slot].started_ns = base::NowNs();
    async_->Start(slot);
  }

  void OnAnswer(size_t slot) {
    const int64_t now = base::NowNs();
    slots_[slot].latencies_us.push_back(static_cast<float>(now - slots_[slot].started_ns) / 1000);
    if (now < end_ns_) return Start(slot);
    ended_.count_down();
  }

  std::vector<Slot> slots_;
  std::latch ended_;
  const int64_t end_ns_;
  std::unique_ptr<AsyncSubject> async_;
};

}  // namespace

BatchResult RunInFlight(Subject& subject, const Batch& batch) {
  return Pipeline(subject, batch).Run();
}

}  // namespace nearcall::bench
