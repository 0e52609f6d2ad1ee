// SPDX-License-Identifier: Apache-2.0

// A channel without threads: what it does is done in the turns of its event queue.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "co_service.h"
#include "driven_server.h"
#include "nearcall/event_queue.h"
#include "raw_peer.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class EventQueueClientTest : public StreamTest {
 protected:
  std::shared_ptr<Channel> ConnectQueued(ChannelOptions options = {}, absl::string_view address = Address()) {
    options.event_queue = &queue;
    if (!options.log_sink) options.log_sink = log.sink();
    return Must(Channel::Connect(address, std::move(options)));
  }

  // As an event loop does: no time-out, so that nothing but the descriptor wakes it.
  template <typename Until>
  void RunUntil(Until until) {
    pollfd ready = {.fd = queue.fd(), .events = POLLIN, .revents = 0};
    while (!until()) {
      ASSERT_EQ(::poll(&ready, 1, 60'000), 1) << "nothing woke the queue";
      queue.Run(64);
    }
  }

  // A call whose outcome is set in Run().
  struct Call {
    std::optional<absl::StatusOr<Blob>> outcome;
    std::thread::id ran_on;
  };
  std::shared_ptr<Call> Start(const Echo::AsyncStub& stub, const std::string& data, CallOptions options = {}) {
    auto call = std::make_shared<Call>();
    const auto done = [call](absl::StatusOr<Blob> outcome) {
      call->outcome = std::move(outcome);
      call->ran_on = std::this_thread::get_id();
    };
    stub.Say(MakeBlob(data), done, options);
    return call;
  }

  EventQueue queue;
};

TEST_F(EventQueueClientTest, CallbacksRunInRunAndNowhereElse) {
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  for (const size_t size : {size_t{0}, size_t{100}, size_t{10'000}, size_t{3'000'000}}) {
    const std::string data(size, 'x');
    const auto call = Start(stub, data);
    RunUntil([&] { return call->outcome.has_value(); });
    ASSERT_TRUE(call->outcome->ok()) << call->outcome->status();
    EXPECT_TRUE((*call->outcome)->data() == data);
    EXPECT_EQ(call->ran_on, std::this_thread::get_id());
  }
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, ManyInFlightStartedFromCallbacks) {
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  size_t ended = 0;
  std::function<void(size_t)> go = [&](size_t left) {
    stub.Say(MakeBlob(absl::StrCat(left)), [&, left](absl::StatusOr<Blob> outcome) {
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      EXPECT_EQ(outcome->data(), absl::StrCat(left));
      ++ended;
      if (left > 0) go(left - 1);
    });
  };
  for (int i = 0; i < 200; ++i) go(19);
  RunUntil([&] { return ended == 4000; });
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, RunRunsNoMoreThanItIsToldTo) {
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  constexpr size_t kCalls = 50;
  std::vector<std::shared_ptr<Call>> calls;
  for (size_t i = 0; i < kCalls; ++i) calls.push_back(Start(stub, "x"));
  const auto ended = [&] {
    return static_cast<size_t>(
        std::count_if(calls.begin(), calls.end(), [](const auto& call) { return call->outcome.has_value(); }));
  };
  size_t ran = 0;
  while (ended() < kCalls) {
    pollfd ready = {.fd = queue.fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 60'000), 1);
    const size_t before = ended();
    const size_t now = queue.Run(1);
    EXPECT_LE(now, 1u);
    EXPECT_EQ(ended(), before + now);
    ran += now;
  }
  EXPECT_EQ(ran, kCalls);
}

TEST_F(EventQueueClientTest, RunInRunDoesNothing) {
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  bool ended = false;
  size_t inner = 1;
  stub.Say(MakeBlob("x"), [&](absl::StatusOr<Blob>) {
    inner = queue.Run(64);
    ended = true;
  });
  RunUntil([&] { return ended; });
  EXPECT_EQ(inner, 0u);
}

TEST_F(EventQueueClientTest, ADeadlineEndsACallAndIsAllThatWakesTheQueue) {
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  const auto late = Start(stub, "x", {.timeout = absl::Milliseconds(20)});
  RunUntil([&] { return late->outcome.has_value(); });
  EXPECT_EQ(late->outcome->status().code(), StatusCode::kDeadlineExceeded);
  may_end.Set();
}

// Its standby thread must be rung for: the one that reads is in a handler that waits.
TEST_F(EventQueueClientTest, AServerThatIsStuckInAHandlerIsRung) {
  // A wait that the server does not see coming.
  std::promise<void> may_end;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() != "stuck") return EchoBack(context, request, reply);
    began.Set();
    may_end.get_future().wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  const auto stuck = Start(stub, "stuck");
  RunUntil([&] { return began.is_set(); });
  const auto call = Start(stub, "x");
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_TRUE(call->outcome->ok()) << call->outcome->status();
  may_end.set_value();
  RunUntil([&] { return stuck->outcome.has_value(); });
}

TEST_F(EventQueueClientTest, ACancelOfAnotherThreadWakesTheQueue) {
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    began.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  std::stop_source stop;
  const auto call = Start(stub, "x", {.stop_token = stop.get_token()});
  std::thread cancelling([&] {
    began.Wait();
    stop.request_stop();
  });
  RunUntil([&] { return call->outcome.has_value(); });
  cancelling.join();
  EXPECT_EQ(call->outcome->status().code(), StatusCode::kCancelled);
  may_end.Set();
}

TEST_F(EventQueueClientTest, OtherThreadsMayStartCalls) {
  const auto server = StartServer();
  const Echo::AsyncStub stub(ConnectQueued());
  constexpr int kEach = 300;
  std::atomic<int> ended = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        stub.Say(MakeBlob("x"), [&](absl::StatusOr<Blob> outcome) {
          EXPECT_TRUE(outcome.ok()) << outcome.status();
          ++ended;
        });
      }
    });
  }
  RunUntil([&] { return ended == 3 * kEach; });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(EventQueueClientTest, TheDeathOfTheServerMakesItReadable) {
  Child child([this](Link& parent) {
    echo.say = [&](ServerContext&, const Blob&, Blob&) {
      parent.Tell("began");
      for (;;) ::pause();
      return absl::OkStatus();
    };
    const auto server = StartServer();
    parent.Tell("ready");
    server->Wait();
  });
  child.link().Await();
  const Echo::AsyncStub stub(ConnectQueued());
  const auto call = Start(stub, "x");
  std::thread killing([&] {
    child.link().Await();
    child.Kill();
  });
  RunUntil([&] { return call->outcome.has_value(); });
  killing.join();
  EXPECT_EQ(call->outcome->status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, NobodyListens) {
  const Echo::AsyncStub stub(ConnectQueued());
  const auto call = Start(stub, "x");
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_THAT(call->outcome->status(), FailsWith(StatusCode::kUnavailable, "no server listens"));
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, ItWaitsForAServerWithoutHoldingUpTheQueue) {
  const auto channel = ConnectQueued();
  const Echo::AsyncStub stub(channel);
  const auto call = Start(stub, "x", {.wait_for_ready = true});
  const auto hasty = Start(stub, "y");
  RunUntil([&] { return hasty->outcome.has_value(); });
  EXPECT_FALSE(call->outcome.has_value());
  const auto server = StartServer();
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_TRUE(call->outcome->ok()) << call->outcome->status();
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

// One that takes the connection, and says nothing.
TEST_F(EventQueueClientTest, ASilentServerHoldsUpNothing) {
  const RawDoor door(Address());
  const Echo::AsyncStub silent(ConnectQueued({.handshake_timeout = absl::Milliseconds(30)}));
  const auto call = Start(silent, "x");
  const auto server = IntegrationTest::StartServer({}, absl::StrCat(TransportName(), ":other"));
  const Echo::AsyncStub other(ConnectQueued({}, absl::StrCat(TransportName(), ":other")));
  const auto served = Start(other, "y");
  RunUntil([&] { return served->outcome.has_value(); });
  EXPECT_TRUE(served->outcome->ok()) << served->outcome->status();
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_EQ(call->outcome->status().code(), StatusCode::kDeadlineExceeded) << call->outcome->status();
}

TEST_F(EventQueueClientTest, BlockingCallsReadForThemselves) {
  const auto server = StartServer();
  const auto channel = ConnectQueued();
  const Echo::Stub blocking(channel);
  const Echo::AsyncStub stub(channel);
  // Nobody runs the queue.
  EXPECT_TRUE(blocking.Say(MakeBlob("x")).ok());
  const auto call = Start(stub, "y");
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(blocking.Say(MakeBlob("x")).ok());
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_TRUE(call->outcome->ok());
  // In a callback.
  bool ended = false;
  stub.Say(MakeBlob("x"), [&](absl::StatusOr<Blob>) { ended = blocking.Say(MakeBlob("z")).ok(); });
  RunUntil([&] { return ended; });
}

TEST_F(EventQueueClientTest, BlockingCallsOfOtherThreadsBesideTheQueue) {
  const auto server = StartServer();
  const auto channel = ConnectQueued();
  const Echo::AsyncStub stub(channel);
  std::atomic<int> left = 2;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      const Echo::Stub blocking(channel);
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(blocking.Say(MakeBlob("x")).ok());
      --left;
    });
  }
  size_t ended = 0;
  for (int i = 0; i < 500; ++i) {
    const auto call = Start(stub, "y");
    RunUntil([&] { return call->outcome.has_value(); });
    ended += call->outcome->ok() ? 1 : 0;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 500u);
  EXPECT_TRUE(RunUntilIdle(queue));
}

// While the queue is just connecting, and nobody runs it.
TEST_F(EventQueueClientTest, ABlockingCallTakesOverTheAttemptToConnect) {
  const auto server = StartServer();
  const auto channel = ConnectQueued();
  const auto call = Start(Echo::AsyncStub(channel), "x");
  queue.Run(1);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("y")).ok());
  RunUntil([&] { return call->outcome.has_value(); });
  EXPECT_TRUE(call->outcome->ok()) << call->outcome->status();
  EXPECT_EQ(ConnectionCount(*server), 1u);
}

TEST_F(EventQueueClientTest, StreamsOfCoroutines) {
  const auto server = StartServer();
  const auto channel = ConnectQueued();
  const std::thread::id thread = std::this_thread::get_id();
  bool ended = false;
  const auto talk = [&]() -> Task<> {
    const Streams::CoStub stub(channel);
    auto chat = stub.Chat();
    for (int i = 0; i < 100; ++i) {
      const Blob element = MakeBlob(absl::StrCat(i));
      EXPECT_TRUE(co_await chat.Write(element));
      Blob reply;
      EXPECT_TRUE(co_await chat.Read(&reply));
      EXPECT_EQ(reply.data(), element.data());
      EXPECT_EQ(std::this_thread::get_id(), thread);
    }
    EXPECT_TRUE(co_await chat.WritesDone());
    EXPECT_TRUE((co_await chat.Finish()).ok());
    ended = true;
  };
  nearcall::Start(talk());
  RunUntil([&] { return ended; });
  EXPECT_TRUE(RunUntilIdle(queue));
}

// --- the end ---

TEST_F(EventQueueClientTest, TheEndOfTheChannelEndsItsCalls) {
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  auto channel = ConnectQueued();
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Start(Echo::AsyncStub(channel), "x"));
  RunUntilIdle(queue);
  channel.reset();
  for (const auto& call : calls) {
    ASSERT_TRUE(call->outcome.has_value()) << "the callbacks have run";
    EXPECT_EQ(call->outcome->status().code(), StatusCode::kCancelled);
  }
  may_end.Set();
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, ACallbackMayDestroyTheChannel) {
  const auto server = StartServer();
  auto channel = ConnectQueued();
  std::vector<std::shared_ptr<Call>> others;
  bool ended = false;
  Echo::AsyncStub(channel).Say(MakeBlob("x"), [&](absl::StatusOr<Blob>) {
    for (int i = 0; i < 3; ++i) others.push_back(Start(Echo::AsyncStub(channel), "x"));
    channel.reset();
    for (const auto& other : others) EXPECT_FALSE(other->outcome.has_value());
    ended = true;
  });
  RunUntil([&] { return ended; });
  RunUntil([&] { return others.back()->outcome.has_value(); });
  EXPECT_EQ(others.back()->outcome->status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueClientTest, AChannelThatIsJustConnectingMayEnd) {
  const RawDoor door(Address());
  auto channel = ConnectQueued();
  const auto call = Start(Echo::AsyncStub(channel), "x");
  queue.Run(64);
  channel.reset();
  ASSERT_TRUE(call->outcome.has_value());
  EXPECT_EQ(call->outcome->status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(RunUntilIdle(queue));
}

// The process that dies begins with a fixture of its own, and leaves its directory behind.
class EventQueueDeathTest : public EventQueueClientTest {
  const testing::TemporaryDirectory left_behind_;
  const testing::ScopedEnv within_{"TMPDIR", left_behind_.path().c_str()};
};

TEST_F(EventQueueDeathTest, TheQueueOutlivesItsChannels) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto other = std::make_unique<EventQueue>();
        const auto channel = Must(Channel::Connect(Address(), {.event_queue = other.get()}));
        other.reset();
      },
      "outlives_its_channels_and_servers");
}

TEST_F(EventQueueDeathTest, TheQueueIsNotDestroyedInItsRun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const auto server = StartServer();
        auto other = std::make_unique<EventQueue>();
        // Whose connection needs nothing of the kernel that would outlive the process.
        auto channel = Must(server->InProcessChannel({.event_queue = other.get()}));
        Echo::AsyncStub(channel).Say(MakeBlob("x"), [&](absl::StatusOr<Blob>) { other.reset(); });
        for (;;) other->Run();
      },
      "is_in_its_own_run");
}

}  // namespace
}  // namespace nearcall::integration
