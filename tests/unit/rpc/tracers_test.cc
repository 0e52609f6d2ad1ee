// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/tracers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "support/costs.h"
#include "unit/rpc/fake_service.h"
#include "unit/rpc/idle_stream.h"
#include "unit/rpc/server_end.h"

namespace nearcall::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IdleStream;
using ::testing::IsEmpty;

constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;

class TracersTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tracers::Tracer> Trace(std::string method = "", std::optional<uid_t> user = {}) {
    return std::make_unique<Tracers::Tracer>(tracers_, Tracers::Wanted{std::move(method), user}, kAlice,
                                             quota_->AccountOf(kAlice), stream_);
  }

  void Tell(absl::string_view method, uid_t user = kAlice) {
    const PeerIdentity peer = {.pid = 7, .uid = user, .gid = 0};
    tracers_.Tell({.method = method, .peer = &peer});
  }

  static std::vector<std::string> MethodsOf(Tracers::Tracer& tracer, size_t most = 1000) {
    std::vector<std::string> methods;
    for (const Tracers::Kept& kept : tracer.Take(most).calls) methods.push_back(kept.method);
    return methods;
  }

  uint64_t BytesTaken() { return quota_->AccountOf(kAlice)->memory.taken().bytes(); }

  Tracers tracers_;
  IdleStream stream_;
  const std::shared_ptr<base::Quota> quota_ = std::make_shared<base::Quota>(
      base::Quota::Totals{.calls = 10, .bytes = 20 * base::kMaxTraceBytes, .places = 1, .descriptors = 1},
      std::vector<uid_t>{}, kAlice);
};

TEST_F(TracersTest, TellsWhatHasEndedInOrder) {
  EXPECT_FALSE(tracers_.any());
  const auto tracer = Trace();
  EXPECT_TRUE(tracers_.any());
  EXPECT_TRUE(tracer->admitted().ok());
  for (const char* method : {"a.B/C", "", "d.E/F"}) Tell(method);
  EXPECT_THAT(MethodsOf(*tracer, 2), ElementsAre("a.B/C", ""));
  EXPECT_THAT(MethodsOf(*tracer, 2), ElementsAre("d.E/F"));
  EXPECT_THAT(MethodsOf(*tracer), IsEmpty());
}

TEST_F(TracersTest, EachHearsOfWhatItWants) {
  const auto method = Trace("a.B/C");
  const auto service = Trace("a.B");
  const auto of_bob = Trace("", kBob);
  for (const char* name : {"a.B/C", "a.B/D", "a.Bc/C", "a.B/Cd", "a", ""}) Tell(name);
  Tell("a.B/C", kBob);
  EXPECT_THAT(MethodsOf(*method), ElementsAre("a.B/C", "a.B/C"));
  EXPECT_THAT(MethodsOf(*service), ElementsAre("a.B/C", "a.B/D", "a.B/Cd", "a.B/C"));
  EXPECT_THAT(MethodsOf(*of_bob), ElementsAre("a.B/C"));
}

TEST_F(TracersTest, ThereAreNewsForWhoHasTakenAll) {
  const auto tracer = Trace();
  Tell("a.B/C");
  Tell("a.B/C");
  EXPECT_EQ(stream_.told, 1u);
  MethodsOf(*tracer, 1);
  Tell("a.B/C");
  EXPECT_EQ(stream_.told, 1u) << "it had not taken all";
  MethodsOf(*tracer);
  Tell("a.B/C");
  EXPECT_EQ(stream_.told, 2u);
}

TEST_F(TracersTest, WhatIsNotTakenIsBoundedAndCounted) {
  constexpr uint64_t kCalls = 10'000;
  const auto tracer = Trace();
  for (uint64_t i = 0; i < kCalls; ++i) Tell("a.B/C");
  EXPECT_LE(BytesTaken(), base::kMaxTraceBytes);
  const Tracers::Taken taken = tracer->Take(kCalls);
  EXPECT_GT(taken.calls.size(), 100u);
  EXPECT_LE(taken.calls.size() * sizeof(Tracers::Kept), base::kMaxTraceBytes);
  EXPECT_EQ(taken.calls.size() + taken.dropped, kCalls);
  EXPECT_EQ(tracer->Take(kCalls).dropped, 0u) << "they are told once";
  // Long names count, too.
  for (uint64_t i = 0; i < kCalls; ++i) Tell(std::string(base::kMaxMethodNameSize, 'x'));
  EXPECT_LE(MethodsOf(*tracer).size(), base::kMaxTraceBytes / base::kMaxMethodNameSize);
}

TEST_F(TracersTest, AUserHasEightAtMost) {
  std::vector<std::unique_ptr<Tracers::Tracer>> all;
  for (size_t i = 0; i < base::kMaxTracersOfAUser; ++i) EXPECT_TRUE(all.emplace_back(Trace())->admitted().ok());
  const auto refused = Trace();
  EXPECT_EQ(refused->admitted().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused->admitted().message(), HasSubstr("8 traces of uid 1000 run already"));
  Tell("a.B/C");
  EXPECT_THAT(MethodsOf(*refused), IsEmpty());
  Tracers::Tracer others(tracers_, {}, kBob, quota_->AccountOf(kBob), stream_);
  EXPECT_TRUE(others.admitted().ok());
  all.pop_back();
  EXPECT_TRUE(Trace()->admitted().ok());
}

TEST_F(TracersTest, WhatIsKeptIsPaidFor) {
  auto tracer = Trace();
  EXPECT_EQ(BytesTaken(), base::kMaxTraceBytes);
  tracer.reset();
  EXPECT_EQ(BytesTaken(), 0u);
  EXPECT_FALSE(tracers_.any());
  base::Charge all;
  ASSERT_TRUE(all.TryTake(&quota_->AccountOf(kAlice)->memory, base::Amount::Of(0, 20 * base::kMaxTraceBytes - 1)));
  EXPECT_EQ(Trace()->admitted().code(), absl::StatusCode::kResourceExhausted);
}

// --- what it costs ---

struct Cost {
  size_t allocations;
  size_t locks;
};

// Of a call, from being read to being over.
Cost CostOfACall(bool stats, bool traced) {
  testing::FakeService service("test.Service", {"test.Service/Do"});
  ServerCore core({.stats = stats}, 1);
  EXPECT_TRUE(core.services.Add(&service).ok());
  IdleStream stream;
  std::optional<Tracers::Tracer> tracer;
  if (traced) tracer.emplace(core.tracers, Tracers::Wanted{}, 0, core.quota->AccountOf(0), stream);
  testing::ServerEnd end(core);
  end.Send({.method_id = service.method().id, .payload = testing::MakeBytes("hi").SerializeAsString()});
  IncomingCall call(core, end.places(), /*leader=*/0);
  const Cost before = {nearcall::testing::Allocations(), nearcall::testing::LocksTaken()};
  EXPECT_TRUE(end.ReadInto(call));
  call.Run();
  call.Reset(/*by_leader=*/true);
  EXPECT_EQ(traced ? tracer->Take(10).calls.size() : 1u, 1u);
  return {nearcall::testing::Allocations() - before.allocations, nearcall::testing::LocksTaken() - before.locks};
}

TEST(TracersCostTest, WhileNobodyTracesACallCostsNeitherMemoryNorALockMore) {
  const Cost without = CostOfACall(/*stats=*/false, /*traced=*/false);
  const Cost not_traced = CostOfACall(/*stats=*/true, /*traced=*/false);
  EXPECT_EQ(not_traced.allocations, without.allocations);
  EXPECT_EQ(not_traced.locks, without.locks);
  const Cost traced = CostOfACall(/*stats=*/true, /*traced=*/true);
  EXPECT_GT(traced.allocations, without.allocations) << "nothing is counted";
  EXPECT_GT(traced.locks, without.locks) << "nothing is counted";
}

}  // namespace
}  // namespace nearcall::rpc
