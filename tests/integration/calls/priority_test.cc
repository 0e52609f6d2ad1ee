// SPDX-License-Identifier: Apache-2.0

// Which call runs first, and on which thread.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "fixture.h"
#include "measured.h"

namespace nearcall::integration {
namespace {

class PriorityTest : public IntegrationTest {
 protected:
  // A server with one place for a handler, which is taken until Release().
  void StartBlocked(ServerOptions options = {}) {
    server.reset();
    calls_.clear();
    {
      base::MutexLock lock(mutex_);
      order_.clear();
    }
    began_ = std::make_unique<Event>();
    may_end_ = std::make_unique<Event>();
    echo.say = [this](ServerContext& context, const Blob& request, Blob&) {
      if (request.data() == "block") {
        began_->Set();
        may_end_->Wait();
      }
      base::MutexLock lock(mutex_);
      order_.push_back(request.data());
      priorities_.push_back(context.priority());
      return absl::OkStatus();
    };
    options.max_handler_threads = 1;
    server = StartServer(options);
    calls_.push_back(SayAsync(ConnectStub(), "block"));
    began_->Wait();
  }

  // Calls, and waits until the server has queued it.
  void Queue(const Echo::Stub& stub, std::string data, CallOptions options) {
    calls_.push_back(SayAsync(stub, std::move(data), std::move(options)));
    ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == calls_.size(); }));
  }

  std::vector<std::string> Release() {
    may_end_->Set();
    for (Pending& call : calls_) EXPECT_TRUE(call.get().ok());
    base::MutexLock lock(mutex_);
    order_.erase(order_.begin());
    return order_;
  }

  std::vector<Priority> priorities() {
    base::MutexLock lock(mutex_);
    return priorities_;
  }

  std::unique_ptr<Server> server;

 private:
  std::unique_ptr<Event> began_;
  std::unique_ptr<Event> may_end_;
  std::vector<Pending> calls_;
  base::Mutex mutex_;
  std::vector<std::string> order_ ABSL_GUARDED_BY(mutex_);
  std::vector<Priority> priorities_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(PriorityTest, DefaultOfTheMethodUnlessTheCallerSaysOtherwise) {
  std::vector<Priority> got;
  echo.say = [&got](ServerContext& context, const Blob&, Blob&) {
    got.push_back(context.priority());
    return absl::OkStatus();
  };
  {
    const auto only = StartServer();
    const Echo::Stub stub = ConnectStub();
    EXPECT_TRUE(stub.Low(MakeBlob("")).ok());
    EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
    EXPECT_TRUE(stub.High(MakeBlob("")).ok());
    EXPECT_TRUE(stub.Urgent(MakeBlob("")).ok());
    EXPECT_TRUE(stub.Urgent(MakeBlob(""), {.priority = Priority::kLow}).ok());
  }
  EXPECT_THAT(got, ::testing::ElementsAre(Priority::kLow, Priority::kNormal, Priority::kHigh, Priority::kUrgent,
                                          Priority::kLow));
}

TEST_F(PriorityTest, OneThatDoesNotExistIsRefused) {
  const auto only = StartServer();
  const absl::Status status = ConnectStub().Say(MakeBlob(""), {.priority = static_cast<Priority>(4)}).status();
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kInvalidArgument, "priority is 4"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(PriorityTest, ServerLowersWhatIsTooHigh) {
  std::vector<Priority> got;
  echo.say = [&got](ServerContext& context, const Blob&, Blob&) {
    got.push_back(context.priority());
    return absl::OkStatus();
  };
  {
    const auto only = StartServer({.max_priority = Priority::kNormal});
    const Echo::Stub stub = ConnectStub();
    EXPECT_TRUE(stub.Urgent(MakeBlob("")).ok());
    EXPECT_TRUE(stub.Low(MakeBlob("")).ok());
  }
  EXPECT_THAT(got, ::testing::ElementsAre(Priority::kNormal, Priority::kLow));
}

TEST_F(PriorityTest, HigherOvertakesWhatIsQueued) {
  std::vector<std::string> order;
  // On a busy machine they may wait so long that they rise.
  ASSERT_TRUE(Eventually([&] {
    StartBlocked();
    const Echo::Stub stub = ConnectStub();
    const base::SteadyNs begun = base::NowNs();
    Queue(stub, "low", {.priority = Priority::kLow});
    Queue(stub, "normal", {});
    Queue(stub, "high", {.priority = Priority::kHigh});
    Queue(stub, "urgent", {.priority = Priority::kUrgent});
    order = Release();
    return base::NowNs() - begun < base::kAgeingNs;
  }));
  EXPECT_THAT(order, ::testing::ElementsAre("urgent", "high", "normal", "low"));
}

TEST_F(PriorityTest, CallsOfOneLaneRunInOrder) {
  StartBlocked();
  const Echo::Stub stub = ConnectStub();
  for (const char* name : {"1", "2", "3", "4"}) Queue(stub, name, {});
  EXPECT_THAT(Release(), ::testing::ElementsAre("1", "2", "3", "4"));
}

TEST_F(PriorityTest, ClientsOfOneLaneTakeTurns) {
  StartBlocked();
  const Echo::Stub greedy = ConnectStub();
  const Echo::Stub modest = ConnectStub();
  for (const char* name : {"greedy 1", "greedy 2", "greedy 3"}) Queue(greedy, name, {});
  Queue(modest, "modest 1", {});
  EXPECT_THAT(Release(), ::testing::ElementsAre("greedy 1", "modest 1", "greedy 2", "greedy 3"));
}

TEST_F(PriorityTest, WhatHasWaitedLongRises) {
  StartBlocked();
  const Echo::Stub stub = ConnectStub();
  Queue(stub, "low", {.priority = Priority::kLow});
  const absl::Time aged = absl::Now() + 2 * absl::Nanoseconds(base::kAgeingNs);
  EXPECT_TRUE(Eventually([&] { return absl::Now() > aged; }));
  Queue(stub, "normal", {});
  EXPECT_THAT(Release(), ::testing::ElementsAre("low", "normal"));
}

// All lanes but the urgent one, which nothing overtakes.
TEST_F(PriorityTest, NothingStarves) {
  const auto only = StartServer({.max_handler_threads = 1});
  std::atomic<bool> stop = false;
  std::vector<std::future<void>> crowd;
  for (int i = 0; i < 3; ++i) {
    crowd.push_back(std::async(std::launch::async, [&, stub = ConnectStub()] {
      while (!stop) stub.High(MakeBlob("")).status().IgnoreError();
    }));
  }
  const Echo::Stub stub = ConnectStub();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(stub.Low(MakeBlob(""), {.timeout = kLong}).ok());
  stop = true;
}

// A backlog that no handler of which ends, and that is as old as it takes to have risen above all lanes, if anything
// did. Who comes anew gets in as soon as somebody sees that the reading thread is stuck.
TEST_F(PriorityTest, AnAgedBacklogHoldsUpNeitherUrgentNorNormalCalls) {
  constexpr size_t kBacklog = 200;
  Event may_end;
  echo.say = [&may_end](ServerContext&, const Blob& request, Blob&) {
    if (request.data() == "block") may_end.Wait();
    return absl::OkStatus();
  };
  const auto only = StartServer();
  Counter ended;
  const Echo::AsyncStub crowd(Connect());
  for (size_t i = 0; i < kBacklog; ++i) crowd.Say(MakeBlob("block"), [&](const absl::StatusOr<Blob>&) { ended.Add(); });
  ASSERT_TRUE(Eventually([&] { return CallsActive(*only) == kBacklog; }));
  const absl::Time aged = absl::Now() + 2 * base::kLanes * absl::Nanoseconds(base::kAgeingNs);
  ASSERT_TRUE(Eventually([&] { return absl::Now() > aged; }));

  const Echo::Stub stub = ConnectStub();
  Measured urgent("beside 200 calls that wait, an urgent one");
  Measured normal("beside 200 calls that wait, a normal one");
  const auto time = [&stub](Priority priority, Measured& measured) {
    const absl::Time start = absl::Now();
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong, .priority = priority}).ok());
    measured.Add(absl::ToDoubleMicroseconds(absl::Now() - start));
  };
  // In turns: what a machine does just then happens to both.
  for (int round = 0; round < 101; ++round) {
    time(Priority::kUrgent, urgent);
    time(Priority::kNormal, normal);
  }
  may_end.Set();
  ended.WaitFor(kBacklog);
  urgent.Print("us");
  normal.Print("us");
  EXPECT_LT(urgent.Percentile(0.5), Strict() ? 5'000 : 200'000);
  EXPECT_LT(urgent.Percentile(0.5), Strict() ? 1.25 * normal.Percentile(0.5) : normal.Percentile(0.5) + 100'000);
}

TEST_F(PriorityTest, OnePlaceIsKeptForTheUrgent) {
  Counter running;
  Event may_end;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    running.Add();
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto only = StartServer({.max_handler_threads = 3});
  const Echo::Stub stub = ConnectStub();
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(std::async(std::launch::async, [&] { return stub.MayBlock(MakeBlob("")).status(); }));
  }
  running.WaitFor(2);
  ASSERT_TRUE(Eventually([&] { return CallsActive(*only) == 5; }));
  EXPECT_TRUE(stub.Urgent(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_EQ(stub.High(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(running.value(), 2u);
  may_end.Set();
  for (auto& call : calls) EXPECT_TRUE(call.get().ok());
}

// An urgent call waits for a frame of a bulk transfer, not for the transfer.
TEST_F(PriorityTest, UrgentOvertakesABulkTransfer) {
  const auto only = StartServer();
  const Echo::Stub stub = ConnectStub();
  const Blob bulk = MakeBlob(std::string(size_t{32} << 20, 'b'));
  std::atomic<bool> done = false;
  auto transfer = std::async(std::launch::async, [&] {
    const absl::Status status = stub.Low(bulk, {.timeout = 2 * kLong}).status();
    done = true;
    return status;
  });
  int overtook = 0;
  while (!done) {
    EXPECT_TRUE(stub.Urgent(MakeBlob("u"), {.timeout = kLong}).ok());
    if (!done) ++overtook;
  }
  EXPECT_TRUE(transfer.get().ok());
  EXPECT_GT(overtook, 2);
}

// --- threads ---

TEST_F(PriorityTest, BlockedHandlerDoesNotStopTheOthers) {
  Event began;
  Event may_end;
  echo.say = [&](ServerContext&, const Blob& request, Blob&) {
    if (request.data() == "block") {
      began.Set();
      may_end.Wait();
    }
    return absl::OkStatus();
  };
  const auto only = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending blocked = SayAsync(stub, "block");
  began.Wait();
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong}).ok());
    EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong}).ok());
  }
  may_end.Set();
  EXPECT_TRUE(blocked.get().ok());
}

// Each waits until all are there.
TEST_F(PriorityTest, AsManyHandlersRunAtOnceAsAreAllowed) {
  constexpr size_t kHandlers = 12;
  Counter here;
  const Handler meet = [&](ServerContext&, const Blob&, Blob&) {
    here.Add();
    here.WaitFor(kHandlers);
    return absl::OkStatus();
  };
  echo.say = echo.may_block = meet;
  const auto only = StartServer({.max_handler_threads = kHandlers + 1});
  const Echo::Stub stub = ConnectStub();
  std::vector<std::future<absl::Status>> calls;
  for (size_t i = 0; i < kHandlers; ++i) {
    calls.push_back(std::async(std::launch::async, [&stub, i] {
      return (i % 2 == 0 ? stub.Say(MakeBlob("")) : stub.MayBlock(MakeBlob(""))).status();
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(call.get().ok());
}

}  // namespace
}  // namespace nearcall::integration
