// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "nearcall/generic.h"

namespace nearcall::tools {

namespace {

int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// In pieces: somebody may want it to end. Whether `due_ns` has come.
bool SleepUntil(int64_t due_ns, const std::atomic<bool>& stop) {
  constexpr int64_t kPieceNs = 50'000'000;
  for (int64_t now = NowNs(); now < due_ns && !stop; now = NowNs()) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(due_ns - now, kPieceNs)));
  }
  return !stop;
}

void Add(const Load::Result& more, Load::Result& to) {
  to.latency.Merge(more.latency);
  for (const auto& [code, failure] : more.failures) {
    Load::Failure& all = to.failures[code];
    all.count += failure.count;
    all.example = failure.example;
  }
}

}  // namespace

uint64_t Load::Result::failed() const {
  uint64_t all = 0;
  for (const auto& [code, failure] : failures) all += failure.count;
  return all;
}

Load::Result Load::Run(const std::atomic<bool>& stop) {
  since_ns_ = NowNs();
  end_ns_ = since_ns_ + absl::ToInt64Nanoseconds(std::min(plan_.duration, absl::Hours(24 * 365)));
  std::vector<Result> results(plan_.callers);
  std::vector<std::thread> callers;
  for (size_t i = 0; i < plan_.callers; ++i) {
    callers.emplace_back([this, i, &stop, &results] { Call(i, stop, results[i]); });
  }
  for (std::thread& caller : callers) caller.join();
  Result all;
  for (const Result& result : results) Add(result, all);
  all.took = absl::Nanoseconds(NowNs() - since_ns_);
  return all;
}

// False: there are no more. `due_ns`: when it is to begin; zero: at once.
bool Load::NextCall(int64_t& due_ns) {
  const uint64_t number = begun_.fetch_add(1, std::memory_order_relaxed);
  if (plan_.calls.has_value() && number >= *plan_.calls) return false;
  due_ns = 0;
  if (!plan_.rate.has_value()) return NowNs() < end_ns_;
  due_ns = since_ns_ + static_cast<int64_t>(static_cast<double>(number) * 1e9 / *plan_.rate);
  return due_ns < end_ns_;
}

void Load::Call(size_t caller, const std::atomic<bool>& stop, Result& result) {
  const GenericStub stub(channels_[caller % channels_.size()]);
  CallOptions options = plan_.options;
  options.timeout = plan_.timeout;
  int64_t due_ns = 0;
  while (!stop && NextCall(due_ns)) {
    const bool busy = due_ns != 0 && NowNs() >= due_ns;
    if (due_ns != 0 && !SleepUntil(due_ns, stop)) break;
    const int64_t begun_ns = busy ? due_ns : NowNs();
    const absl::Status ended = stub.Unary(plan_.method, plan_.request, options).status();
    if (ended.ok()) {
      result.latency.Add(static_cast<double>(NowNs() - begun_ns) / 1e3);
    } else {
      Failure& failure = result.failures[ended.code()];
      if (failure.count++ == 0) failure.example = std::string(ended.message());
    }
  }
}

}  // namespace nearcall::tools
