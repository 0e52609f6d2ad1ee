// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/call_counts.h"

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "support/clock_readings.h"
#include "unit/rpc/fake_service.h"
#include "unit/rpc/server_end.h"

namespace nearcall::rpc {
namespace {

using absl::StatusCode;

constexpr size_t kLeaders = 2;

uint64_t Ended(const CallCounts& counts, StatusCode code) {
  return counts.Read().ended[static_cast<size_t>(code)];
}

TEST(CallCountsTest, AddsUpWhatAllHaveCounted) {
  CallCounts counts(kLeaders);
  for (const CallCounts::Writer writer : {CallCounts::Writer{0}, CallCounts::Writer{1}, CallCounts::kAnybody}) {
    counts.CountBegin(writer, 10);
    counts.CountEnd(writer, {.code = StatusCode::kOk, .refused = false, .bytes_sent = 7, .ns = 1000});
  }
  counts.CountBegin(CallCounts::kAnybody, 1);
  counts.CountEnd(CallCounts::kAnybody, {.code = StatusCode::kNotFound, .refused = true, .bytes_sent = 0, .ns = 5});
  const CallCounts::Totals totals = counts.Read();
  EXPECT_EQ(totals.begun, 4u);
  EXPECT_EQ(totals.refused, 1u);
  EXPECT_EQ(totals.bytes_received, 31u);
  EXPECT_EQ(totals.bytes_sent, 21u);
  EXPECT_EQ(totals.ns, 3005u);
  EXPECT_EQ(Ended(counts, StatusCode::kOk), 3u);
  EXPECT_EQ(Ended(counts, StatusCode::kNotFound), 1u);
  EXPECT_EQ(totals.latencies[LatencyBuckets::Of(1000)], 3u);
  EXPECT_EQ(totals.latencies[LatencyBuckets::Of(5)], 1u);
}

TEST(CallCountsTest, NothingIsLostWhereManyCount) {
  constexpr size_t kOthers = 4;
  constexpr uint64_t kThreads = kLeaders + kOthers;
  constexpr uint64_t kRounds = 50'000;
  CallCounts counts(kLeaders);
  std::latch start(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, writer = i < kLeaders ? i : CallCounts::kAnybody] {
      start.arrive_and_wait();
      for (uint64_t round = 0; round < kRounds; ++round) {
        counts.CountBegin(writer, 1);
        counts.CountEnd(writer, {.code = StatusCode::kOk, .refused = true, .bytes_sent = 1, .ns = 10});
      }
    });
  }
  uint64_t begun = 0;
  while (begun != kThreads * kRounds) {
    const CallCounts::Totals totals = counts.Read();
    EXPECT_GE(totals.begun, totals.ended[0]) << "what has ended has begun";
    EXPECT_GE(totals.begun, begun);
    begun = totals.begun;
  }
  for (std::thread& thread : threads) thread.join();
  const CallCounts::Totals totals = counts.Read();
  EXPECT_EQ(totals.ended[0], kThreads * kRounds);
  EXPECT_EQ(totals.refused, kThreads * kRounds);
  EXPECT_EQ(totals.latencies[LatencyBuckets::Of(10)], kThreads * kRounds);
  EXPECT_EQ(totals.bytes_received, kThreads * kRounds);
}

TEST(CallCountsTest, WithoutLeadersNothingIsCounted) {
  EXPECT_FALSE(CallCounts(0).on());
  EXPECT_EQ(CallCounts(0).Read().begun, 0u);
}

TEST(CallCountsTest, TakesOddNumbers) {
  CallCounts counts(1);
  counts.CountEnd(0, {.code = static_cast<StatusCode>(99), .ns = -5});
  EXPECT_EQ(counts.Read().ended[CallCounts::kCodes - 1], 1u);
  EXPECT_EQ(counts.Read().latencies[0], 1u);
}

// --- of one call ---

TEST(CallTallyTest, ElementsAreCountedInBunchesAndAllAtTheEnd) {
  CallCounts counts(1);
  CallTally tally;
  tally.Begin(counts, 0, 3, base::NowNs());
  for (int i = 0; i < 15; ++i) tally.NoteElementRead(1);
  EXPECT_EQ(counts.Read().elements_received, 0u);
  tally.NoteElementRead(1);
  EXPECT_EQ(counts.Read().elements_received, 16u);
  tally.NoteElementWritten(size_t{16} << 10);
  EXPECT_EQ(counts.Read().elements_sent, 1u) << "a large one is counted at once";
  tally.NoteElementRead(5);
  tally.NoteElementWritten(6);
  tally.Finish(/*by_leader=*/false);
  EXPECT_EQ(counts.Read().bytes_received, 3u + 16 + 5);
  EXPECT_EQ(counts.Read().bytes_sent, (size_t{16} << 10) + 6);
}

TEST(CallTallyTest, KnowsItsElementsWhetherOrNotTheyAreCounted) {
  for (const size_t leaders : {size_t{0}, size_t{1}}) {
    CallCounts counts(leaders);
    CallTally tally;
    tally.Begin(counts, 0, 3, base::NowNs());
    for (int i = 0; i < 20; ++i) tally.NoteElementRead(1);
    tally.NoteElementWritten(1);
    tally.Finish(/*by_leader=*/true);
    EXPECT_EQ(tally.elements_read(), 20u);
    EXPECT_EQ(tally.elements_written(), 1u);
    EXPECT_EQ(counts.Read().elements_received, leaders * 20);
    // Of the next call.
    tally.Begin(counts, 0, 3, base::NowNs());
    EXPECT_EQ(tally.elements_read(), 0u);
    EXPECT_EQ(tally.elements_written(), 0u);
    tally.Finish(/*by_leader=*/true);
    EXPECT_EQ(counts.Read().elements_received, leaders * 20);
  }
}

TEST(CallTallyTest, WhoHasNoAnswerWasCancelled) {
  CallCounts counts(1);
  CallTally tally;
  tally.Begin(counts, 0, 0, base::NowNs());
  tally.Finish(/*by_leader=*/true);
  tally.Finish(/*by_leader=*/true);
  EXPECT_EQ(Ended(counts, StatusCode::kCancelled), 1u) << "once";
}

// --- what it costs ---

class CallCostTest : public ::testing::Test {
 protected:
  // How often a call looks at the clock, from being read to being over.
  static size_t ReadingsOfACall(bool stats) {
    testing::FakeService service("test.Service", {"test.Service/Do"});
    ServerCore core({.stats = stats}, 1);
    EXPECT_TRUE(core.services.Add(&service).ok());
    testing::ServerEnd end(core);
    end.Send({.method_id = service.method().id, .payload = testing::MakeBytes("hi").SerializeAsString()});
    IncomingCall call(core, end.places(), /*leader=*/0);
    const base::SteadyNs now = base::NowNs();
    const size_t before = nearcall::testing::ClockReadings();
    EXPECT_TRUE(end.ReadInto(call, now));
    call.Run();
    call.Reset(/*by_leader=*/true);
    return nearcall::testing::ClockReadings() - before;
  }
};

TEST_F(CallCostTest, CountingACallIsOneLookAtTheClock) {
  EXPECT_EQ(ReadingsOfACall(true), ReadingsOfACall(false) + 1);
}

}  // namespace
}  // namespace nearcall::rpc
