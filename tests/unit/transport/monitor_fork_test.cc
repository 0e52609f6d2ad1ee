// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "process.h"
#include "support/sanitizers.h"
#include "transport/control.h"

namespace nearcall::transport::testing {
namespace {

class NoSink final : public ControlSink {
 public:
  void OnControl(const ControlMessage&) override {}
  void OnPeerGone() override { gone.Set(); }
  void OnControlViolation(const char*) override {}
  Event gone;
};

// What a forked child may do: start timers and watches of its own.
bool MonitorWorks() {
  auto [ours, theirs] = SocketPair();
  const auto sink = std::make_shared<NoSink>();
  const auto channel = WatchControl(std::move(ours), {}, sink);
  Event fired;
  const auto timer = StartTimer(0, [&] { fired.Set(); });
  if (!channel.ok() || !timer.ok()) return false;
  fired.Wait();
  theirs.Reset();
  sink->gone.Wait();
  return true;
}

class MonitorForkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!nearcall::testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  }
};

TEST_F(MonitorForkTest, AChildStartsItsOwn) {
  const auto timer = StartTimer(base::kNever, [] {});
  Child child([] { return MonitorWorks() ? 0 : 1; });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_TRUE(MonitorWorks());
}

TEST_F(MonitorForkTest, SoDoesTheChildsChild) {
  const auto timer = StartTimer(base::kNever, [] {});
  Child child([] {
    const auto own = StartTimer(base::kNever, [] {});
    Child grandchild([] { return MonitorWorks() ? 0 : 1; });
    return grandchild.Wait() == 0 && MonitorWorks() ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(MonitorForkTest, WhatAChildInheritedIsInert) {
  auto [ours, theirs] = SocketPair();
  const auto sink = std::make_shared<NoSink>();
  auto channel = WatchControl(std::move(ours), {}, sink).value();
  auto timer = StartTimer(base::kNever, [] {}).value();
  Child child([&] {
    const size_t before = OpenDescriptors();
    channel->Send({});
    channel->HangUp();
    channel.reset();
    timer.reset();
    return OpenDescriptors() == before - 1 ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
  pollfd item{.fd = theirs.get(), .events = POLLIN | POLLRDHUP, .revents = 0};
  EXPECT_EQ(::poll(&item, 1, 0), 0);  // nothing was sent, nobody has hung up
  theirs.Reset();
  sink->gone.Wait();
}

TEST_F(MonitorForkTest, AHangUpReachesThePeerThoughAChildHoldsTheSocket) {
  auto [ours, theirs] = SocketPair();
  auto channel = WatchControl(std::move(ours), {}, std::make_shared<NoSink>()).value();
  Child child([] { return ::pause(); });
  channel.reset();
  pollfd item{.fd = theirs.get(), .events = POLLRDHUP, .revents = 0};
  EXPECT_EQ(::poll(&item, 1, 20'000), 1);
}

TEST_F(MonitorForkTest, TheMonitorRestsThoughAChildHoldsASocketThatWasWatched) {
  Event fired;
  const auto timer = StartTimer(base::AddNs(base::NowNs(), 200'000'000), [&] { fired.Set(); });
  auto [ours, theirs] = SocketPair();
  auto channel = WatchControl(std::move(ours), {}, std::make_shared<NoSink>()).value();
  Child child([] { return ::pause(); });
  channel.reset();
  const int64_t before = CpuTimeNs();
  fired.Wait();
  EXPECT_LT(CpuTimeNs() - before, 100'000'000);
}

TEST_F(MonitorForkTest, AForkAtAnyMomentDoesNotLockTheChild) {
  std::atomic<bool> stop{false};
  const auto busy = [&] {
    while (!stop.load()) {
      auto [ours, theirs] = SocketPair();
      const auto channel = WatchControl(std::move(ours), {}, std::make_shared<NoSink>());
      const auto timer = StartTimer(base::NowNs() + 1000, [] {});
    }
  };
  std::thread first(busy);
  std::thread second(busy);
  for (int i = 0; i < 50; ++i) {
    Child child([] { return MonitorWorks() ? 0 : 1; });
    EXPECT_EQ(child.Wait(), 0);
  }
  stop = true;
  first.join();
  second.join();
}

}  // namespace
}  // namespace nearcall::transport::testing
