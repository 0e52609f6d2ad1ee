// SPDX-License-Identifier: Apache-2.0
#include "session/session_listener.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace nearcall::session {
namespace {

constexpr transport::Progress kProgress = {.handlers_started = 5, .handlers_running = 3};

TEST(SessionListenerTest, IsTold) {
  int gone = 0;
  int rings = 0;
  SessionListener listener(
      {.on_gone = [&] { ++gone; }, .on_ring = [&] { ++rings; }, .on_ping = [] { return kProgress; }});
  listener.AskToLook();
  EXPECT_EQ(rings, 1);
  EXPECT_EQ(listener.AskForProgress(), kProgress);
  EXPECT_FALSE(listener.was_told_gone());
  listener.TellGone();
  EXPECT_EQ(gone, 1);
  EXPECT_TRUE(listener.was_told_gone());
}

TEST(SessionListenerTest, IsNotToldOnceDetached) {
  int calls = 0;
  SessionListener listener({.on_gone = [&] { ++calls; },
                            .on_ring = [&] { ++calls; },
                            .on_ping =
                                [&] {
                                  ++calls;
                                  return kProgress;
                                }});
  listener.Detach();
  listener.AskToLook();
  EXPECT_FALSE(listener.AskForProgress());
  listener.TellGone();
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(listener.was_told_gone()) << "there is nothing to be told any more";
}

TEST(SessionListenerTest, MayHearNothing) {
  SessionListener listener({});
  listener.AskToLook();
  listener.TellGone();
  EXPECT_FALSE(listener.AskForProgress());
}

TEST(SessionListenerTest, DetachWaitsForACallThatRuns) {
  std::atomic<bool> runs{false};
  std::atomic<bool> returns{false};
  SessionListener listener({.on_gone = nullptr, .on_ring = [&] {
                              runs = true;
                              for (int i = 0; i < 1000; ++i) std::this_thread::yield();
                              returns = true;
                            }});
  std::thread asking([&] { listener.AskToLook(); });
  while (!runs) std::this_thread::yield();
  listener.Detach();
  EXPECT_TRUE(returns);
  asking.join();
}

TEST(SessionListenerTest, ALookIsWantedOnce) {
  SessionListener listener({});
  EXPECT_FALSE(listener.TakeWanted());
  listener.WantALook();
  listener.WantALook();
  EXPECT_TRUE(listener.TakeWanted());
  EXPECT_FALSE(listener.TakeWanted());
}

}  // namespace
}  // namespace nearcall::session
