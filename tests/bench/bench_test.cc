// SPDX-License-Identifier: Apache-2.0

// What the benchmark concludes from figures, without measuring any.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/batch.h"
#include "bench/journal.h"
#include "bench/outcome.h"
#include "bench/statistics.h"
#include "bench/targets.h"
#include "histogram.h"

namespace nearcall::bench {
namespace {

using tools::Histogram;

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HistogramTest, PercentilesAreWithinABucket) {
  Histogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.Add(i);
  EXPECT_EQ(histogram.count(), 1000);
  EXPECT_THAT(histogram.Percentile(0), DoubleNear(1, 1.0 / 64));
  EXPECT_THAT(histogram.Percentile(0.5), DoubleNear(501, 501.0 / 64));
  EXPECT_THAT(histogram.Percentile(0.999), DoubleNear(1000, 1000.0 / 64));
  EXPECT_THAT(histogram.Percentile(1), DoubleNear(1000, 1000.0 / 64));
}

TEST(HistogramTest, KeepsNanosecondsApart) {
  Histogram histogram;
  histogram.Add(0.057);
  EXPECT_THAT(histogram.Percentile(0.5), DoubleNear(0.057, 0.001));
}

TEST(HistogramTest, TakesAnyValue) {
  Histogram histogram;
  for (const double us : {-1.0, 0.0, 1e300}) histogram.Add(us);
  EXPECT_EQ(histogram.Percentile(0), 0);
  EXPECT_GT(histogram.Percentile(1), 1e9);
}

TEST(HistogramTest, MergesAsIfItHadSeenAll) {
  Histogram low;
  Histogram high;
  for (int i = 0; i < 99; ++i) low.Add(1);
  high.Add(5000);
  low.Merge(high);
  EXPECT_EQ(low.count(), 100);
  EXPECT_THAT(low.Percentile(0.98), DoubleNear(1, 0.02));
  EXPECT_THAT(low.Percentile(0.99), DoubleNear(5000, 80));
}

TEST(HistogramTest, IsEmptyAtFirst) {
  EXPECT_EQ(Histogram().Percentile(0.5), 0);
  EXPECT_EQ(Histogram().count(), 0);
}

TEST(BatchTest, SurvivesItsLine) {
  const Batch batch = {.begin_ns = 1, .gap_ns = 2, .open_loop = true, .size = 3, .threads = 4, .in_flight = 5};
  const std::optional<Batch> read = Batch::FromLine(batch.ToLine());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->ToLine(), batch.ToLine());
  EXPECT_TRUE(read->open_loop);
  EXPECT_EQ(read->in_flight, 5);
}

TEST(BatchResultTest, SurvivesItsLine) {
  BatchResult result = {.calls = 2,
                        .begun_ns = 7'000'000'001,
                        .ended_ns = 7'000'004'001,
                        .in_calls_us = 3.5,
                        .cpu_us = 1,
                        .min_calls = 1,
                        .max_calls = 2,
                        .latency = {}};
  for (const double us : {1.0, 250.0}) result.latency.Add(us);
  const std::optional<BatchResult> read = BatchResult::FromLine(result.ToLine());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->ToLine(), result.ToLine());
  EXPECT_EQ(read->latency.count(), 2);
  EXPECT_EQ(read->ended_ns - read->begun_ns, 4000);
}

TEST(BatchResultTest, RefusesHalfALine) {
  EXPECT_FALSE(BatchResult::FromLine(""));
  EXPECT_FALSE(BatchResult::FromLine("1 2 3 4 5 6 7"));
  EXPECT_FALSE(BatchResult::FromLine("1 2 3 4 5 6 7 7:x"));
  EXPECT_FALSE(BatchResult::FromLine("1 2 3 4 5 6 7 999999999:1"));
}

TEST(OutcomeTest, CallsPerSecondCountFromTheFirstBeginToTheLastEnd) {
  BatchResult first;
  first.calls = 6;
  first.begun_ns = 1'000'000'000;
  first.ended_ns = 2'000'000'000;
  first.in_calls_us = 500'000;
  BatchResult late = first;
  late.calls = 3;
  late.ended_ns = 4'000'000'000;
  late.in_calls_us = 100'000;
  const Outcome outcome = {.clients = {first, late}};
  EXPECT_THAT(outcome.calls_per_second(), DoubleNear(3, 1e-9));
  EXPECT_THAT(outcome.calls_per_second_of_calling(), DoubleNear(42, 1e-9));
}

TEST(SeriesTest, HasAMedianBetweenItsEnds) {
  Series series;
  for (const double value : {3.0, 1.0, 2.0}) series.Add(value);
  EXPECT_EQ(series.min(), 1);
  EXPECT_EQ(series.median(), 2);
  EXPECT_EQ(series.max(), 3);
  EXPECT_EQ(series.ToString(), "2.00 [1.00 .. 3.00]");
}

TEST(TargetTest, AtMost) {
  Target target = {.row = 1, .what = "", .unit = "", .measured = 2, .must = 2, .aim = 1};
  EXPECT_EQ(target.state(), Target::State::kMet);
  target.measured = 2.1;
  EXPECT_EQ(target.state(), Target::State::kMissed);
  target.measured = 1;
  EXPECT_EQ(target.state(), Target::State::kAimed);
}

TEST(TargetTest, AtLeast) {
  Target target = {.row = 1, .what = "", .unit = "", .at_least = true, .measured = 6, .must = 6, .aim = 8};
  EXPECT_EQ(target.state(), Target::State::kMet);
  target.measured = 5.9;
  EXPECT_EQ(target.state(), Target::State::kMissed);
  target.measured = 8;
  EXPECT_EQ(target.state(), Target::State::kAimed);
}

TEST(TargetTest, WithoutAFigureOrAMustItIsNotMeasured) {
  Target target = {.row = 1, .what = "", .unit = "", .must = 2};
  EXPECT_EQ(target.state(), Target::State::kNotMeasured);
  target = {.row = 1, .what = "", .unit = "", .measured = 2};
  EXPECT_EQ(target.state(), Target::State::kNotMeasured);
}

class JudgeTest : public ::testing::Test {
 protected:
  void Add(const std::string& section, const std::string& variant, const std::string& who, double p50_us) {
    Measurement measurement{.section = section,
                            .variant = variant,
                            .who = who,
                            .placement = {},
                            .batch = {},
                            .clients = 1,
                            .ways = 2,
                            .latency = {},
                            .p50_us = {},
                            .p99_us = {},
                            .calls_per_second = {},
                            .calls_per_second_of_calling = {},
                            .fairness = {},
                            .client_cpu_us = {},
                            .server_cpu_us = {}};
    measurement.p50_us.Add(p50_us);
    measurement.calls_per_second.Add(1e6 / p50_us);
    measurement.calls_per_second_of_calling.Add(1e6 / p50_us);
    journal_.Add("", {measurement});
  }

  std::vector<Target> Rows(const std::set<int>& rows, bool near = true) const { return Judge(journal_, near, rows); }

  Journal journal_;
};

TEST_F(JudgeTest, HasEveryRowEvenIfNothingIsMeasured) {
  std::set<int> rows;
  for (const Target& target : Rows({})) {
    EXPECT_EQ(target.state(), Target::State::kNotMeasured) << target.what;
    rows.insert(target.row);
  }
  EXPECT_EQ(rows.size(), 23u);
  EXPECT_FALSE(rows.contains(22)) << "there is no policy of waiting to choose";
}

TEST_F(JudgeTest, MakesGoalsOfTheFloorsOfTheSameRun) {
  Add("latency", "apart, back to back", "F_line", 0.1);
  Add("latency", "apart, back to back", "P", 0.1);
  Add("latency", "apart, back to back", "shm", 0.5);
  const std::vector<Target> targets = Rows({1});
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_THAT(*targets[0].must, DoubleNear(0.62, 1e-9));
  EXPECT_THAT(*targets[0].aim, DoubleNear(0.4, 1e-9));
  EXPECT_EQ(targets[0].state(), Target::State::kMet);
}

TEST_F(JudgeTest, ComparesRatesWithGrpc) {
  Add("sizes", "1 MiB", "shm", 10);
  Add("sizes", "1 MiB", "gRPC", 50);
  const std::vector<Target> targets = Rows({7});
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_THAT(*targets[0].measured, DoubleNear(5, 1e-9));
  EXPECT_EQ(targets[0].state(), Target::State::kMissed);
}

TEST_F(JudgeTest, ComparesWithGrpcsBetterServer) {
  Add("latency", "apart, back to back", "shm", 1);
  Add("latency", "apart, back to back", "gRPC", 150);
  Add("latency", "apart, back to back", "gRPC, queues", 100);
  Add("in_flight", "64", "shm", 1);
  Add("in_flight", "64", "gRPC", 20);
  Add("in_flight", "64", "gRPC, queues", 30);
  EXPECT_THAT(*Rows({2})[0].measured, DoubleNear(100, 1e-9));
  EXPECT_THAT(*Rows({5})[1].measured, DoubleNear(20, 1e-9));
}

TEST_F(JudgeTest, SaysWhatDoesNotCountInTheFarState) {
  EXPECT_THAT(Rows({1}, false)[0].remark, HasSubstr("far state"));
  EXPECT_THAT(Rows({3}, false)[0].remark, IsEmpty());
}

}  // namespace
}  // namespace nearcall::bench
