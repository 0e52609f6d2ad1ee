// SPDX-License-Identifier: Apache-2.0
#include "bench/caller.h"

#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "bench/batch.h"
#include "bench/pipeline.h"
#include "support/usage.h"

namespace nearcall::bench {

namespace {

void SleepUntil(int64_t when_ns) {
  const timespec when = base::ToTimespec(when_ns);
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr);
}

// What one thread has seen.
struct Tally {
  tools::Histogram latency;
  int64_t begun_ns = 0;
  int64_t ended_ns = 0;
  int64_t in_calls_ns = 0;

  void Add(int64_t ns, const Subject& subject) {
    for (const int64_t trip_ns : subject.trips_ns()) latency.Add(static_cast<double>(trip_ns) / 1000);
    if (subject.trips_ns().empty()) latency.Add(static_cast<double>(ns) / 1000 / subject.trips_per_call());
    in_calls_ns += ns;
  }
};

// A call that comes late because the one before it took too long is late from the moment when it was due. The lateness
// of a timer is not the call's.
void CallOnTime(Subject& subject, const Batch& batch, int64_t end, Tally& tally) {
  for (int64_t due = base::NowNs() + batch.gap_ns; due < end; due += batch.gap_ns) {
    const int64_t waited = base::NowNs() - due;
    if (waited < 0) SleepUntil(due);
    const int64_t took = subject.TimeCallNs();
    tally.Add(took + std::max<int64_t>(waited, 0), subject);
    subject.Check();
  }
}

void CallInTurn(Subject& subject, const Batch& batch, int64_t end, Tally& tally) {
  int64_t now = base::NowNs();
  for (int64_t calls = 0; now < end && calls < batch.max_calls; ++calls) {
    if (batch.gap_ns != 0) SleepUntil(now + batch.gap_ns);
    tally.Add(subject.TimeCallNs(), subject);
    subject.Check();
    now = base::NowNs();
  }
}

Tally CallFor(Subject& subject, const Batch& batch) {
  Tally tally;
  tally.begun_ns = base::NowNs();
  const int64_t end = std::max(batch.begin_ns, tally.begun_ns) + batch.duration_ns;
  if (batch.open_loop) {
    CallOnTime(subject, batch, end, tally);
  } else {
    CallInTurn(subject, batch, end, tally);
  }
  tally.ended_ns = base::NowNs();
  return tally;
}

void WarmUp(const std::vector<std::unique_ptr<Subject>>& subjects, const Batch& batch) {
  for (int i = 0; i < batch.threads; ++i) {
    subjects[static_cast<size_t>(i)]->SetSize(batch.size);
    subjects[static_cast<size_t>(i)]->Call();
    subjects[static_cast<size_t>(i)]->Check();
  }
}

BatchResult RunBlocking(const std::vector<std::unique_ptr<Subject>>& subjects, const Batch& batch) {
  const size_t threads = static_cast<size_t>(batch.threads);
  std::vector<Tally> tallies(threads);
  std::vector<std::thread> others;
  subjects[0]->Begin();
  for (size_t i = 1; i < threads; ++i) others.emplace_back([&, i] { tallies[i] = CallFor(*subjects[i], batch); });
  tallies[0] = CallFor(*subjects[0], batch);
  for (std::thread& thread : others) thread.join();
  subjects[0]->End();

  BatchResult result{
      .begun_ns = tallies[0].begun_ns, .min_calls = static_cast<double>(tallies[0].latency.count()), .latency = {}};
  for (const Tally& tally : tallies) {
    const double calls = static_cast<double>(tally.latency.count());
    result.min_calls = std::min(result.min_calls, calls);
    result.max_calls = std::max(result.max_calls, calls);
    result.begun_ns = std::min(result.begun_ns, tally.begun_ns);
    result.ended_ns = std::max(result.ended_ns, tally.ended_ns);
    result.in_calls_us = std::max(result.in_calls_us, static_cast<double>(tally.in_calls_ns) / 1000);
    result.latency.Merge(tally.latency);
  }
  result.calls = static_cast<double>(result.latency.count()) * subjects[0]->trips_per_call();
  return result;
}

BatchResult Run(const std::vector<std::unique_ptr<Subject>>& subjects, const Batch& batch) {
  WarmUp(subjects, batch);
  SleepUntil(batch.begin_ns);
  const double cpu_before = testing::CpuMs(::getpid());
  BatchResult result = batch.in_flight == 0 ? RunBlocking(subjects, batch) : RunInFlight(*subjects[0], batch);
  result.cpu_us = (testing::CpuMs(::getpid()) - cpu_before) * 1000;
  return result;
}

}  // namespace

void RunCaller(const SubjectParams& params) {
  Pin(params.placement.client_cpu);
  if (params.keep_heap) KeepHeap();
  ::prctl(PR_SET_TIMERSLACK, 1);
  std::vector<std::unique_ptr<Subject>> subjects;
  subjects.push_back(MakeSubject(params));
  subjects[0]->Call();
  std::cout << subjects[0]->peer() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const std::optional<Batch> batch = Batch::FromLine(line);
    if (!batch) return;
    while (subjects.size() < static_cast<size_t>(batch->threads)) subjects.push_back(subjects[0]->Share());
    std::cout << Run(subjects, *batch).ToLine() << std::endl;
  }
}

}  // namespace nearcall::bench
