// SPDX-License-Identifier: Apache-2.0

// Cancelling: before, while the call waits, while its handler runs.
#include <atomic>
#include <stop_token>
#include <thread>

#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class CancelTest : public IntegrationTest {
 protected:
  static void ExpectCancelled(const absl::Status& status, ExecState state) {
    EXPECT_THAT(status, FailsWith(StatusCode::kCancelled, "cancelled"));
    EXPECT_EQ(ExecStateOf(status), state) << status;
  }

  // A handler that begins, and runs until it is told to end.
  void BlockSay() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      ++runs;
      if (request.data() == "block") {
        began.Set();
        may_end.Wait();
      }
      return EchoBack(context, request, reply);
    };
  }

  std::stop_source stop;
  Event began;
  Event may_end;
  std::atomic<int> runs = 0;
};

TEST_F(CancelTest, BeforeTheCall) {
  const auto server = StartServer();
  stop.request_stop();
  ExpectCancelled(ConnectStub().Say(MakeBlob(""), {.stop_token = stop.get_token()}).status(), ExecState::kNotSent);
  EXPECT_EQ(NumberIn(server->DebugString(), "started: "), 0u);
}

TEST_F(CancelTest, WhileTheHandlerRuns) {
  Event saw_token;
  std::atomic<bool> saw_flag = false;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { saw_token.Set(); });
    began.Set();
    saw_token.Wait();
    saw_flag = context.IsCancelled();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending call = SayAsync(stub, "", {.stop_token = stop.get_token()});
  began.Wait();
  stop.request_stop();
  ExpectCancelled(call.get().status(), ExecState::kMaybeExecuted);
  saw_token.Wait();
  server->Shutdown(kLong);
  server->Wait();
  EXPECT_TRUE(saw_flag);
}

TEST_F(CancelTest, CallerDoesNotWaitForTheHandler) {
  BlockSay();
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending call = SayAsync(stub, "block", {.stop_token = stop.get_token()});
  began.Wait();
  stop.request_stop();
  ExpectCancelled(call.get().status(), ExecState::kMaybeExecuted);
  may_end.Set();
  EXPECT_EQ(Must(stub.Say(MakeBlob("next"), {.timeout = kLong})).data(), "next");
}

// Cancels arrive in order: when the handler sees its own, that of the queued call has been seen, too.
TEST_F(CancelTest, QueuedOneNeverRuns) {
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    ++runs;
    began.Set();
    EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  std::stop_source stop_running;
  Pending running = SayAsync(stub, "running", {.stop_token = stop_running.get_token()});
  began.Wait();
  Pending queued = SayAsync(stub, "queued", {.stop_token = stop.get_token()});
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 2; }));
  stop.request_stop();
  ExpectCancelled(queued.get().status(), ExecState::kMaybeExecuted);
  stop_running.request_stop();
  ExpectCancelled(running.get().status(), ExecState::kMaybeExecuted);
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  EXPECT_EQ(runs, 1);
}

TEST_F(CancelTest, OneThatWaitsForItsTurnWasNotSent) {
  BlockSay();
  const auto server = StartServer();
  const auto channel = Connect({.max_calls_in_flight = 1});
  const Echo::Stub stub(channel);
  Pending blocking = SayAsync(stub, "block");
  began.Wait();
  Pending waiting = SayAsync(stub, "waiting", {.stop_token = stop.get_token()});
  stop.request_stop();
  ExpectCancelled(waiting.get().status(), ExecState::kNotSent);
  may_end.Set();
  EXPECT_TRUE(blocking.get().ok());
  EXPECT_EQ(runs, 1);
}

// The server reads nothing more of a client that has too much queued: what it sends then waits for room.
TEST_F(CancelTest, RequestThatWaitsForRoom) {
  BlockSay();
  const auto server = StartServer({.max_queued_bytes = 0, .max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  Pending blocking = SayAsync(stub, "block");
  began.Wait();
  std::vector<Pending> queued;
  const std::string data(300'000, 'x');
  for (int i = 0; i < 3; ++i) queued.push_back(SayAsync(stub, data, {.stop_token = stop.get_token()}));
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 2; }));
  stop.request_stop();
  for (Pending& call : queued) EXPECT_EQ(call.get().status().code(), StatusCode::kCancelled);
  may_end.Set();
  EXPECT_TRUE(blocking.get().ok());
  EXPECT_EQ(Must(stub.Say(MakeBlob("after"), {.timeout = kLong})).data(), "after");
  EXPECT_LE(runs, 3) << "only the one that had been read may have been faster than its cancel";
}

TEST_F(CancelTest, AfterTheCallHasNoEffect) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.stop_token = stop.get_token()}).ok());
  stop.request_stop();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
}

TEST_F(CancelTest, OneOfManyIsHit) {
  Counter running;
  echo.may_block = [&](ServerContext& context, const Blob& request, Blob& reply) {
    running.Add();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 4; ++i) {
    const CallOptions options = {.stop_token = i == 2 ? stop.get_token() : std::stop_token()};
    calls.push_back(
        std::async(std::launch::async, [&stub, options] { return stub.MayBlock(MakeBlob(""), options).status(); }));
  }
  running.WaitFor(4);
  stop.request_stop();
  ExpectCancelled(calls[2].get(), ExecState::kMaybeExecuted);
  may_end.Set();
  for (const size_t i : {0u, 1u, 3u}) EXPECT_TRUE(calls[i].get().ok());
}

// Starting and cancelling as fast as can be: each call ends, once, and the server has run none twice.
TEST_F(CancelTest, ManyRacesBetweenReplyAndCancel) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  std::atomic<int> ended = 0;
  std::vector<std::future<void>> callers;
  for (int i = 0; i < 4; ++i) {
    callers.push_back(std::async(std::launch::async, [&] {
      for (int j = 0; j < 200; ++j) {
        std::stop_source own;
        std::jthread canceller([&own] { own.request_stop(); });
        const absl::Status status = stub.Say(MakeBlob(""), {.timeout = kLong, .stop_token = own.get_token()}).status();
        if (status.ok() || status.code() == StatusCode::kCancelled) ++ended;
      }
    }));
  }
  for (auto& caller : callers) caller.get();
  EXPECT_EQ(ended, 800);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

}  // namespace
}  // namespace nearcall::integration
