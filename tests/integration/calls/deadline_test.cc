// SPDX-License-Identifier: Apache-2.0

// Deadlines: before, during and after the handler; where they come from; and that no handler starts late.
#include <atomic>

#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class DeadlineTest : public IntegrationTest {
 protected:
  // Some channels connect with their first call, which takes a part of its time.
  Echo::Stub ConnectNow() {
    Echo::Stub stub = ConnectStub();
    EXPECT_TRUE(stub.MayBlock(MakeBlob("")).ok());
    return stub;
  }
  static void ExpectDeadline(const absl::Status& status, ExecState state) {
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
    EXPECT_NE(status.message(), "");
    EXPECT_EQ(ExecStateOf(status), state) << status;
  }
};

TEST_F(DeadlineTest, PassedOneIsNotSent) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  ExpectDeadline(stub.Say(MakeBlob(""), {.timeout = absl::ZeroDuration()}).status(), ExecState::kNotSent);
  ExpectDeadline(stub.Say(MakeBlob(""), {.timeout = -absl::InfiniteDuration()}).status(), ExecState::kNotSent);
  ExpectDeadline(stub.Say(MakeBlob(""), {.deadline = absl::Now() - absl::Seconds(1)}).status(), ExecState::kNotSent);
  ExpectDeadline(stub.Say(MakeBlob(""), {.deadline = absl::InfinitePast()}).status(), ExecState::kNotSent);
  EXPECT_EQ(NumberIn(server->DebugString(), "started: "), 0u);
}

TEST_F(DeadlineTest, FarOneIsAsNone) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = absl::InfiniteDuration()}).ok());
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = absl::Hours(24 * 365 * 300)}).ok());
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.deadline = absl::InfiniteFuture()}).ok());
}

TEST_F(DeadlineTest, TheHandlerKnowsIt) {
  std::vector<absl::Time> deadlines;
  echo.say = [&deadlines](ServerContext& context, const Blob&, Blob&) {
    deadlines.push_back(context.deadline());
    return absl::OkStatus();
  };
  const absl::Time before = absl::Now();
  {
    const auto server = StartServer();
    const Echo::Stub stub = ConnectStub();
    EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = absl::Seconds(100)}).ok());
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.deadline = before + absl::Seconds(200)}).ok());
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = absl::Seconds(300), .deadline = before + absl::Seconds(200)}).ok());
  }
  ASSERT_EQ(deadlines.size(), 4u);
  EXPECT_EQ(deadlines[0], absl::InfiniteFuture());
  for (size_t i = 1; i < 4; ++i) {
    const absl::Duration expected = absl::Seconds(i == 1 ? 100 : 200);
    EXPECT_LT(absl::AbsDuration(deadlines[i] - before - expected), absl::Seconds(10)) << i;
  }
}

TEST_F(DeadlineTest, PassesWhileTheHandlerRuns) {
  std::atomic<bool> cancelled = false;
  Event may_end;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    cancelled = Eventually([&] { return context.IsCancelled(); });
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  // The caller does not wait for the handler, which is told.
  ExpectDeadline(ConnectNow().Say(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status(),
                 ExecState::kMaybeExecuted);
  may_end.Set();
  server->Shutdown();
  server->Wait();
  EXPECT_TRUE(cancelled);
}

TEST_F(DeadlineTest, StopTokenTellsTheHandler) {
  Event stopped;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { stopped.Set(); });
    stopped.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  ExpectDeadline(ConnectNow().Say(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status(),
                 ExecState::kMaybeExecuted);
  stopped.Wait();
}

TEST_F(DeadlineTest, NoHandlerStartsLate) {
  Event blocked;
  Event may_end;
  std::atomic<int> runs = 0;
  echo.say = [&](ServerContext&, const Blob& request, Blob&) {
    ++runs;
    if (request.data() == "block") {
      blocked.Set();
      may_end.Wait();
    }
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  Pending blocking = SayAsync(stub, "block");
  blocked.Wait();
  constexpr absl::Duration kTimeout = absl::Milliseconds(200);
  Pending late = SayAsync(stub, "late", {.timeout = kTimeout});
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 2; }));
  const absl::Time latest_end = absl::Now() + kTimeout;  // of the time that was left when the server read the request
  ExpectDeadline(late.get().status(), ExecState::kMaybeExecuted);
  EXPECT_TRUE(Eventually([&] { return absl::Now() > latest_end; }));
  may_end.Set();
  EXPECT_TRUE(blocking.get().ok());
  EXPECT_TRUE(stub.Say(MakeBlob("after")).ok());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(NumberIn(server->DebugString(), "refused: "), 1u);
}

TEST_F(DeadlineTest, ReplyThatComesTooLateIsDropped) {
  Event may_answer;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() == "late") may_answer.Wait();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectNow();
  ExpectDeadline(stub.Say(MakeBlob("late"), {.timeout = absl::Milliseconds(20)}).status(), ExecState::kMaybeExecuted);
  Pending next = SayAsync(stub, "next", {.timeout = kLong});
  may_answer.Set();
  EXPECT_EQ(Must(next.get()).data(), "next");
}

TEST_F(DeadlineTest, MethodsDefaultCountsUnlessTheCallerSaysOtherwise) {
  Event may_end;
  echo.say = [&](ServerContext& context, const Blob& request, Blob&) {
    if (request.data() == "slow") may_end.Wait();
    return context.deadline() == absl::InfiniteFuture() ? absl::OkStatus() : absl::AbortedError("has a deadline");
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectNow();
  ExpectDeadline(stub.Hasty(MakeBlob("slow")).status(), ExecState::kMaybeExecuted);
  may_end.Set();
  EXPECT_TRUE(stub.Hasty(MakeBlob(""), {.timeout = absl::InfiniteDuration()}).ok());
  EXPECT_TRUE(stub.Hasty(MakeBlob(""), {.deadline = absl::InfiniteFuture()}).ok());
  EXPECT_EQ(stub.Hasty(MakeBlob(""), {.timeout = kLong}).status().code(), StatusCode::kAborted);
}

TEST_F(DeadlineTest, ManyCallersTimeOutTogetherAndTheChannelServesOn) {
  Event may_end;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());  // it is connected
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::async(std::launch::async, [&stub, i] {
      return stub.MayBlock(MakeBlob(""), {.timeout = absl::Milliseconds(10 + i)}).status();
    }));
  }
  for (auto& call : calls) ExpectDeadline(call.get(), ExecState::kMaybeExecuted);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  may_end.Set();
}

}  // namespace
}  // namespace nearcall::integration
