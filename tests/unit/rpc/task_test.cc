// SPDX-License-Identifier: Apache-2.0
#include "nearcall/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/sanitizers.h"

namespace nearcall {
namespace {

using ::testing::ElementsAre;

// What a coroutine waits for until somebody opens it, once.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // SUBTLE: g++ 12 copies an awaiter that a lambda has captured by reference.
  auto operator co_await() {
    struct Awaiter {
      std::coroutine_handle<>& coroutine;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> waits) const { coroutine = waits; }
      void await_resume() const {}
    };
    return Awaiter{coroutine_};
  }

  bool awaited() const { return static_cast<bool>(coroutine_); }
  void Open() { internal::Resume(std::exchange(coroutine_, nullptr)); }

 private:
  std::coroutine_handle<> coroutine_;
};

// Goes on at once, on a thread of its own.
struct OtherThread {
  std::thread& thread;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) {
    thread = std::thread([coroutine] { internal::Resume(coroutine); });
  }
  void await_resume() const {}
};

// A coroutine as small as can be, of somebody else's.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Task<int> Give(int value) {
  co_return value;
}

Task<int> GiveBehind(Gate& gate, int value) {
  co_await gate;
  co_return value;
}

Task<int> Sum(Gate& first, Gate& second) {
  const int a = co_await GiveBehind(first, 1);
  const int b = co_await GiveBehind(second, 2);
  co_return a + b;
}

Task<> Throw(const char* what) {
  throw std::runtime_error(what);
  co_return;
}

TEST(TaskTest, BeginsWhenItIsAwaited) {
  bool begun = false;
  const auto begin = [&]() -> Task<> {
    begun = true;
    co_return;
  };
  {
    const Task<> dropped = begin();
    EXPECT_FALSE(begun);
  }
  EXPECT_FALSE(begun);
  SyncWait(begin());
  EXPECT_TRUE(begun);
}

TEST(TaskTest, GivesWhatItReturnsAndCopiesNothing) {
  const auto give = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  const auto outer = [&]() -> Task<std::unique_ptr<int>> { co_return co_await give(); };
  EXPECT_EQ(*SyncWait(outer()), 7);
}

TEST(TaskTest, ANamedTaskIsAwaitedToo) {
  const auto outer = []() -> Task<int> {
    Task<int> one = Give(1);
    Task<int> moved = Give(0);
    moved = Give(2);
    co_return co_await one + co_await std::move(moved);
  };
  EXPECT_EQ(SyncWait(outer()), 3);
}

TEST(TaskTest, GoesOnWhereverWhatItAwaitsDoes) {
  std::thread other;
  const auto task = [&]() -> Task<std::thread::id> {
    co_await OtherThread{other};
    co_return std::this_thread::get_id();
  };
  const std::thread::id id = SyncWait(task());
  EXPECT_EQ(id, other.get_id());
  other.join();
}

TEST(TaskTest, AnExceptionComesOutWhereItIsAwaited) {
  EXPECT_THROW(SyncWait(Throw("all")), std::runtime_error);
  const auto catches = []() -> Task<std::string> {
    try {
      co_await Throw("one");
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "";
  };
  EXPECT_EQ(SyncWait(catches()), "one");
}

TEST(TaskTest, StartReturnsWhenTheTaskSuspendsAndTellsWhenItHasEnded) {
  Gate first;
  Gate second;
  int sum = 0;
  Start(Sum(first, second), [&](int value) { sum = value; });
  EXPECT_TRUE(first.awaited());
  EXPECT_FALSE(second.awaited());
  first.Open();
  EXPECT_TRUE(second.awaited());
  EXPECT_EQ(sum, 0);
  second.Open();
  EXPECT_EQ(sum, 3);
}

TEST(TaskTest, WhatIsStartedMayBeToldToNobody) {
  Gate gate;
  bool ended = false;
  const auto task = [&]() -> Task<> {
    co_await gate;
    ended = true;
  };
  Start(task());
  gate.Open();
  EXPECT_TRUE(ended);
}

TEST(TaskDeathTest, AStartedTaskThatThrowsEndsTheProcess) {
  EXPECT_DEATH(Start(Throw("all")), "");
}

TEST(TaskDeathTest, ATaskIsAwaitedOnceAndNotWhenItWasMovedFrom) {
  const auto twice = []() -> Task<> {
    Task<int> task = Give(1);
    co_await task;
    co_await task;
  };
  EXPECT_DEATH(SyncWait(twice()), "a Task is awaited once");
  Task<int> task = Give(1);
  const Task<int> other = std::move(task);
  EXPECT_DEATH(SyncWait(std::move(task)), "moved from");  // NOLINT(bugprone-use-after-move)
}

TEST(TaskTest, ATaskThatIsDestroyedTakesWithItWhatItAwaits) {
  const auto alive = std::make_shared<int>();
  Gate gate;
  const auto inner = [](Gate& waits_for, std::shared_ptr<int> /*held*/) -> Task<> { co_await waits_for; };
  const auto outer = [&](std::shared_ptr<int> held) -> Task<> { co_await inner(gate, std::move(held)); };
  {
    struct Nobody : internal::Continuation {
      Nobody() : Continuation([](Continuation&) { FAIL(); }) {}
    } nobody;
    const Task<> task = outer(alive);
    task.promise().StartNow(nobody);
    EXPECT_TRUE(gate.awaited());
    EXPECT_GT(alive.use_count(), 1);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(TaskTest, AForeignCoroutineAwaitsTasks) {
  Gate first;
  Gate second;
  int sum = 0;
  const auto foreign = [&]() -> Foreign {
    sum = co_await Give(10);
    sum += co_await Sum(first, second);
  };
  foreign();
  EXPECT_EQ(sum, 10);
  first.Open();
  second.Open();
  EXPECT_EQ(sum, 13);
}

TEST(TaskTest, SyncWaitWithinATaskWaitsForTheOther) {
  const auto task = []() -> Task<int> { co_return SyncWait(Give(1)) + co_await Give(2); };
  EXPECT_EQ(SyncWait(task()), 3);
}

TEST(TaskTest, StartWithinATaskBeginsTheOtherAtOnce) {
  std::vector<int> order;
  const auto other = [&]() -> Task<> {
    order.push_back(1);
    order.push_back(co_await Give(2));
  };
  const auto task = [&]() -> Task<> {
    Start(other());
    order.push_back(co_await Give(3));
  };
  SyncWait(task());
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

// ---- the stack ----

constexpr int kMany = 1'000'000;

TEST(TaskTest, AMillionAwaitsOfTasksNeedNoStack) {
  const auto many = []() -> Task<int64_t> {
    int64_t sum = 0;
    for (int i = 0; i < kMany; ++i) sum += co_await Give(1);
    co_return sum;
  };
  EXPECT_EQ(SyncWait(many()), kMany);
  int64_t sum = 0;
  const auto foreign = [&]() -> Foreign {
    for (int i = 0; i < kMany; ++i) sum += co_await Give(1);
  };
  foreign();
  EXPECT_EQ(sum, kMany);
}

TEST(TaskTest, AMillionAwaitsOfWhatIsReadyNeedNoStack) {
  const auto many = []() -> Task<int> {
    int count = 0;
    for (; count < kMany; ++count) co_await std::suspend_never();
    co_return count;
  };
  EXPECT_EQ(SyncWait(many()), kMany);
}

TEST(TaskTest, AMillionWaitsNeedNoStack) {
  Gate gate;
  int64_t sum = 0;
  const auto many = [&]() -> Task<> {
    for (int i = 0; i < kMany; ++i) sum += co_await GiveBehind(gate, 1);
  };
  Start(many());
  while (gate.awaited()) gate.Open();
  EXPECT_EQ(sum, kMany);
}

// Each awaits the next, the last of them a gate.
Task<int64_t> Deep(Gate& gate, int depth) {
  if (depth > 0) co_return 1 + co_await Deep(gate, depth - 1);
  co_await gate;
  co_return 0;
}

TEST(TaskTest, AChainOfManyTasksNeedsNoStackAtEitherEnd) {
  constexpr int kDeep = nearcall::testing::kSanitizers ? kMany / 10 : kMany;
  Gate gate;
  int64_t depth = 0;
  Start(Deep(gate, kDeep), [&](int64_t value) { depth = value; });
  gate.Open();
  EXPECT_EQ(depth, kDeep);
}

// ---- several ----

TEST(WhenAllTest, BeginsAllAndWaitsForAll) {
  Gate gates[2];
  std::vector<int> values;
  const auto outer = [&]() -> Task<> {
    auto [a, nothing, b] = co_await WhenAll(
        GiveBehind(gates[0], 1), []() -> Task<> { co_return; }(), GiveBehind(gates[1], 2));
    static_assert(std::is_same_v<decltype(nothing), std::monostate>);
    values = {a, b};
  };
  Start(outer());
  EXPECT_TRUE(gates[0].awaited());
  EXPECT_TRUE(gates[1].awaited());
  gates[1].Open();
  EXPECT_THAT(values, ElementsAre());
  gates[0].Open();
  EXPECT_THAT(values, ElementsAre(1, 2));
}

TEST(WhenAllTest, TakesAnyNumber) {
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(Give(i));
  EXPECT_THAT(SyncWait(WhenAll(std::move(tasks))), ElementsAre(0, 1, 2));
  EXPECT_THAT(SyncWait(WhenAll(std::vector<Task<int>>())), ElementsAre());
}

TEST(WhenAllTest, ThrowsWhatTheFirstInOrderHasThrownWhenAllHaveEnded) {
  Gate gate;
  bool ended = false;
  const auto late = [&]() -> Task<> {
    co_await gate;
    ended = true;
  };
  std::string what;
  const auto outer = [&]() -> Task<> {
    try {
      co_await WhenAll(late(), Throw("one"), Throw("two"));
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(ended);
      what = error.what();
    }
  };
  Start(outer());
  EXPECT_EQ(what, "");
  gate.Open();
  EXPECT_EQ(what, "one");
}

TEST(WhenAllTest, TasksThatEndOnManyThreadsAreAllWaitedFor) {
  constexpr int kRounds = nearcall::testing::kSanitizers ? 200 : 2000;
  for (int round = 0; round < kRounds; ++round) {
    std::thread threads[3];
    const auto on = [](std::thread& thread, int value) -> Task<int> {
      co_await OtherThread{thread};
      co_return value;
    };
    auto [a, b, c] = SyncWait(WhenAll(on(threads[0], 1), on(threads[1], 2), on(threads[2], 3)));
    EXPECT_EQ(a + b + c, 6);
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(WhenAnyTest, TheFirstStopsTheOthers) {
  Gate fast;
  Gate slow;
  std::stop_source stop;
  const auto stopped = [&]() -> Task<std::string> {
    const std::stop_callback open(stop.get_token(), [&] { slow.Open(); });
    co_await slow;
    co_return stop.stop_requested() ? "stopped" : "ended";
  };
  std::string result;
  const auto outer = [&]() -> Task<> {
    const auto [first, results] = co_await WhenAny(stop, stopped(), GiveBehind(fast, 7));
    result = std::to_string(first) + std::get<0>(results) + std::to_string(std::get<1>(results));
  };
  Start(outer());
  EXPECT_EQ(result, "");
  fast.Open();
  EXPECT_EQ(result, "1stopped7");
}

}  // namespace
}  // namespace nearcall
