// SPDX-License-Identifier: Apache-2.0

// How calls of a server to its client end, and what bounds them.
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "back_call_fixture.h"
#include "nearcall/event_queue.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

TEST_F(BackCallTest, ItsDeadlineEndsItAtBothEnds) {
  Event cancelled;
  mine.say = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    cancelled.Wait();
    return absl::OkStatus();
  };
  absl::Status inner;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    inner = Echo::Stub(context.client()).Say(request, &reply, {.timeout = absl::Milliseconds(20)});
    return absl::OkStatus();
  };
  const auto server = StartServer();
  ASSERT_TRUE(Echo::Stub(ConnectServing()).Say(MakeBlob("")).ok());
  EXPECT_EQ(inner.code(), StatusCode::kDeadlineExceeded);
  cancelled.Wait();
}

TEST_F(BackCallTest, ACancelReachesTheClientsHandler) {
  Event began;
  Event cancelled;
  Event ended;
  mine.say = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    began.Set();
    cancelled.Wait();
    return absl::OkStatus();
  };
  absl::Status inner;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    inner = AskTheClient(context, request, reply);
    ended.Set();
    return inner;
  };
  const auto server = StartServer();
  const Echo::Stub stub(ConnectServing());
  std::stop_source stop;
  Pending call = SayAsync(stub, "", {.stop_token = stop.get_token()});
  began.Wait();
  stop.request_stop();
  EXPECT_EQ(call.get().status().code(), StatusCode::kCancelled);
  ended.Wait();
  EXPECT_EQ(inner.code(), StatusCode::kCancelled);
}

// The channel is let go of while its handler runs, and the server waits for that.
TEST_F(BackCallTest, TheEndOfTheChannelEndsItOnce) {
  Event began;
  mine.say = [&](ServerContext& context, const Blob&, Blob&) {
    began.Set();
    EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
    return absl::OkStatus();
  };
  HandOutTheClient();
  const auto server = StartServer();
  auto channel = ConnectServing();
  Pending back = SayAsync(Echo::Stub(ClientOf(channel)), "");
  began.Wait();
  channel.reset();  // waits for the handler
  const absl::Status status = back.get().status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
}

TEST_F(BackCallTest, TheEndOfTheServerCancelsTheClientsHandler) {
  Event began;
  Event cancelled;
  mine.say = [&](ServerContext& context, const Blob&, Blob&) {
    began.Set();
    EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
    cancelled.Set();
    return absl::OkStatus();
  };
  HandOutTheClient();
  auto server = StartServer();
  const auto channel = ConnectServing();
  Pending back = SayAsync(Echo::Stub(ClientOf(channel)), "");
  began.Wait();
  server.reset();
  EXPECT_EQ(back.get().status().code(), StatusCode::kUnavailable);
  cancelled.Wait();
}

// A client that is told to go away stays until what it has begun to serve is answered.
TEST_F(BackCallTest, AServerThatDrainsGetsItsAnswers) {
  Event began;
  Event may_end;
  mine.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    began.Set();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const auto channel = ConnectServing();
  Pending during = SayAsync(Echo::Stub(channel), "during");
  began.Wait();
  server->Shutdown(kLong);
  may_end.Set();
  EXPECT_EQ(Must(during.get()).data(), "during");
  server->Wait();
}

TEST_F(BackCallTest, AServerThatDrainsGetsTheAnswersOfCallsThatNoHandlerMade) {
  Event began;
  Event may_end;
  mine.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    began.Set();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  HandOutTheClient();
  const auto server = StartServer();
  const auto channel = ConnectServing();
  Pending back = SayAsync(Echo::Stub(ClientOf(channel)), "pushed");
  began.Wait();
  server->Shutdown(kLong);
  EXPECT_TRUE(Eventually([&] { return channel->state() == ChannelState::kIdle; })) << "it was not told to go away";
  may_end.Set();
  EXPECT_EQ(Must(back.get()).data(), "pushed");
  server->Wait();
}

TEST_F(BackCallTest, TheNextConnectionIsServedToo) {
  auto server = StartServer();
  const Echo::Stub stub(ConnectServing());
  EXPECT_TRUE(stub.Say(MakeBlob(""), InTime()).ok());
  server.reset();
  server = StartServer();
  EXPECT_EQ(Must(stub.Say(MakeBlob("again"), {.timeout = kLong, .wait_for_ready = true})).data(), "again");
}

TEST_F(BackCallTest, OverAnInProcessChannelToo) {
  const auto server = StartServer();
  const Echo::Stub stub(Must(server->InProcessChannel({.services = {&mine}})));
  EXPECT_EQ(Must(stub.Say(MakeBlob("near"), InTime())).data(), "near");
}

TEST_F(BackCallTest, OptionsAreChecked) {
  const auto server = StartServer();
  EXPECT_THAT(Channel::Connect(Address(), {.services = {nullptr}}).status(),
              FailsWith(StatusCode::kInvalidArgument, "ChannelOptions::services"));
  EXPECT_THAT(Channel::Connect(Address(), {.services = {&mine, &mine}}).status(),
              FailsWith(StatusCode::kInvalidArgument, "nearcall.integration.Echo"));
  EventQueue queue;
  EXPECT_THAT(Channel::Connect(Address(), {.event_queue = &queue, .services = {&mine}}).status(),
              FailsWith(StatusCode::kUnimplemented, "event_queue"));
}

// ---- bounds ----

// No more handlers run at once than there are places, of which one is kept for urgent calls.
TEST_F(BackCallTest, SixteenHandlersAtOnce) {
  Counter began;
  Event may_end;
  mine.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    began.Add();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  HandOutTheClient();
  const auto server = StartServer();
  const auto channel = ConnectServing();
  const Echo::Stub back(ClientOf(channel));
  std::vector<Pending> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(SayAsync(back, "", InTime()));
  began.WaitFor(15);
  // An urgent call has the last place, and ends before any of those that wait.
  std::thread urgent([&] { EXPECT_TRUE(back.Urgent(MakeBlob(""), InTime()).ok()); });
  began.WaitFor(16);
  EXPECT_EQ(began.value(), 16u);
  may_end.Set();
  urgent.join();
  for (Pending& call : calls) EXPECT_TRUE(call.get().ok());
}

TEST_F(BackCallTest, WhatTheClientHoldsIsBounded) {
  Counter began;
  Event may_end;
  mine.say = [&](ServerContext&, const Blob&, Blob&) {
    began.Add();
    may_end.Wait();
    return absl::OkStatus();
  };
  HandOutTheClient();
  const auto server = StartServer();
  // 2 * 1 MiB, 1 byte, and 64 windows of 1 byte.
  const auto channel = ConnectServing({.max_message_size = 1 << 20, .max_queued_bytes = 1, .stream_window_bytes = 1});
  const Echo::Stub back(ClientOf(channel));
  const std::string large(1'000'000, 'x');
  std::vector<Pending> calls;
  for (int i = 0; i < 2; ++i) calls.push_back(SayAsync(back, large, InTime()));
  began.WaitFor(2);
  const absl::Status status = back.Say(MakeBlob(large), InTime()).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  may_end.Set();
  for (Pending& call : calls) EXPECT_TRUE(call.get().ok());
  EXPECT_TRUE(back.Say(MakeBlob(large), InTime()).ok());
}

// A reply for which the client's user has no room is dropped, and ends its call only.
TEST_F(BackCallTest, RepliesCountAsTheClients) {
  mine.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply = MakeBlob(std::string(std::stoul(request.data()), 'x'));
    return absl::OkStatus();
  };
  HandOutTheClient();
  const auto server = StartServer({.max_message_size = 100'000, .max_total_bytes = 100'000});
  const auto channel = ConnectServing();
  const Echo::Stub back(ClientOf(channel));
  EXPECT_THAT(back.Say(MakeBlob("99990"), InTime()).status(),
              FailsWith(StatusCode::kResourceExhausted, "max_total_bytes"));
  EXPECT_TRUE(back.Say(MakeBlob("1000"), InTime()).ok());
}

}  // namespace
}  // namespace nearcall::integration
