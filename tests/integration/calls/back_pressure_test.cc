// SPDX-License-Identifier: Apache-2.0

// When something is full: who waits, who is refused, and who is not affected at all.
#include "absl/strings/str_cat.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class BackPressureTest : public IntegrationTest {
 protected:
  // Handlers that run until Release().
  std::unique_ptr<Server> StartBlocked(ServerOptions options = {}) {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      running.Add();
      may_end.Wait();
      return EchoBack(context, request, reply);
    };
    return StartServer(std::move(options));
  }
  static void ExpectFull(const absl::Status& status, const std::string& part, ExecState state) {
    EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, part));
    EXPECT_EQ(ExecStateOf(status), state) << status;
  }

  Counter running;
  Event may_end;
};

TEST_F(BackPressureTest, CallsInFlightOfTheChannel) {
  const auto server = StartBlocked();
  const Echo::Stub stub = ConnectStub({.max_calls_in_flight = 2});
  Pending first = SayAsync(stub, "1");
  Pending second = SayAsync(stub, "2");
  running.WaitFor(2);
  ExpectFull(stub.Say(MakeBlob(""), {.when_full = WhenFull::kFailFast}).status(), "2 calls", ExecState::kNotSent);
  const absl::Status late = stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(10)}).status();
  EXPECT_THAT(late, FailsWith(StatusCode::kDeadlineExceeded, "max_calls_in_flight"));
  EXPECT_EQ(ExecStateOf(late), ExecState::kNotSent);
  Pending waits = SayAsync(stub, "waits");
  may_end.Set();
  EXPECT_TRUE(first.get().ok() && second.get().ok());
  EXPECT_EQ(Must(waits.get()).data(), "waits");
}

TEST_F(BackPressureTest, CallsThatWaitForAPlaceGetOneEach) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub({.max_calls_in_flight = 1});
  std::vector<Pending> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(SayAsync(stub, std::to_string(i), {.timeout = kLong}));
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(Must(calls[i].get()).data(), std::to_string(i));
}

TEST_F(BackPressureTest, ServerGrantsFewerCalls) {
  const auto server = StartBlocked({.max_queued_calls = 1});
  const Echo::Stub stub = ConnectStub();
  Pending first = SayAsync(stub, "1");
  running.WaitFor(1);
  ExpectFull(stub.Say(MakeBlob(""), {.when_full = WhenFull::kFailFast}).status(), "max_queued_calls",
             ExecState::kNotSent);
  may_end.Set();
  EXPECT_TRUE(first.get().ok());
}

// The server reads nothing more of a client with too much queued, so that its ring fills up.
TEST_F(BackPressureTest, RingIsFull) {
  const auto server = StartBlocked({.max_queued_bytes = 0, .max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  std::vector<Pending> calls;
  calls.push_back(SayAsync(stub, "blocks"));
  running.WaitFor(1);
  const std::string data(16'000, 'x');
  absl::Status full;
  while (full.ok() && calls.size() < 20) {
    // One that has room is queued; it ends when it is cancelled.
    full = stub.Say(MakeBlob(data), {.timeout = absl::Milliseconds(50), .when_full = WhenFull::kFailFast}).status();
    if (full.code() == StatusCode::kDeadlineExceeded) full = absl::OkStatus();
    calls.push_back(Pending());
  }
  ExpectFull(full, absl::StrCat("no room in the ", TransportName(), " transport to ", Address()), ExecState::kNotSent);
  const absl::Status late = stub.Say(MakeBlob(data), {.timeout = absl::Milliseconds(20)}).status();
  EXPECT_THAT(late, FailsWith(StatusCode::kDeadlineExceeded, "waited for room"));
  EXPECT_EQ(ExecStateOf(late), ExecState::kNotSent);
  Pending waits = SayAsync(stub, data, {.timeout = kLong});
  may_end.Set();
  EXPECT_TRUE(waits.get().ok());
  EXPECT_TRUE(calls.front().get().ok());
}

TEST_F(BackPressureTest, RequestThatWaitsForRoomMayBeLarge) {
  const auto server = StartBlocked({.max_queued_bytes = 0, .max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  Pending blocks = SayAsync(stub, "blocks");
  running.WaitFor(1);
  std::vector<Pending> large;
  for (int i = 0; i < 4; ++i) large.push_back(SayAsync(stub, std::string(400'000, 'x'), {.timeout = kLong}));
  may_end.Set();
  for (Pending& call : large) EXPECT_EQ(Must(call.get()).data().size(), 400'000u);
}

TEST_F(BackPressureTest, DeadlineInTheMiddleOfALargeRequestHurtsNobody) {
  const auto server = StartBlocked({.max_queued_bytes = 0, .max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  Pending blocks = SayAsync(stub, "blocks");
  running.WaitFor(1);
  std::vector<Pending> large;
  for (int i = 0; i < 4; ++i) {
    large.push_back(SayAsync(stub, std::string(400'000, 'x'), {.timeout = absl::Milliseconds(20 + i)}));
  }
  for (Pending& call : large) EXPECT_EQ(call.get().status().code(), StatusCode::kDeadlineExceeded);
  may_end.Set();
  EXPECT_TRUE(blocks.get().ok());
  EXPECT_EQ(Must(stub.Say(MakeBlob(std::string(400'000, 'y')), {.timeout = kLong})).data().size(), 400'000u);
  EXPECT_FALSE(log.Has("violation"));
}

// Calls that the client has given up have not ended at the server.
TEST_F(BackPressureTest, WhatTheServerHasGrantedIsWaitedFor) {
  const auto server = StartBlocked({.max_queued_calls = 3, .max_handler_threads = 1});
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.MayBlock(MakeBlob("")).ok());  // it is connected
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(std::async(
        std::launch::async, [&stub] { return stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status(); }));
  }
  for (auto& call : calls) EXPECT_EQ(call.get().code(), StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 3; }));
  ExpectFull(stub.Say(MakeBlob(""), {.timeout = kLong, .when_full = WhenFull::kFailFast}).status(),
             "ServerOptions::max_queued_calls", ExecState::kNotSent);
  EXPECT_EQ(stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status().code(), StatusCode::kDeadlineExceeded);
  Pending waits = SayAsync(stub, "waits", {.timeout = kLong});
  may_end.Set();
  EXPECT_EQ(Must(waits.get()).data(), "waits");
}

// The replies that free their slots may have come while nobody was there to read them.
class GivenUpCallsTest : public BackPressureTest {
 protected:
  // All slots are taken by calls that were given up and have been answered since.
  void SetUp() override {
    server_ = StartBlocked({.max_queued_calls = 3, .max_handler_threads = 1});
    EXPECT_TRUE(Echo::Stub(channel()).MayBlock(MakeBlob("")).ok());  // it is connected
    for (int i = 0; i < 3; ++i) {
      const auto reply = Echo::Stub(channel()).Say(MakeBlob(""), {.timeout = absl::Milliseconds(5)});
      EXPECT_EQ(reply.status().code(), StatusCode::kDeadlineExceeded);
    }
    may_end.Set();
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server_) == 0; }));
  }

  const std::shared_ptr<Channel>& channel() {
    if (channel_ == nullptr) channel_ = Connect();
    return channel_;
  }

  const CallOptions hasty_ = {.timeout = kLong, .when_full = WhenFull::kFailFast};

 private:
  std::unique_ptr<Server> server_;
  std::shared_ptr<Channel> channel_;
};

TEST_F(GivenUpCallsTest, ABlockingCallFindsASlot) {
  EXPECT_TRUE(Echo::Stub(channel()).Say(MakeBlob(""), hasty_).ok());
}

TEST_F(GivenUpCallsTest, AnAsynchronousCallFindsASlot) {
  absl::Status status;
  Event done;
  Echo::AsyncStub(channel()).Say(
      MakeBlob(""),
      [&](const absl::StatusOr<Blob>& reply) {
        status = reply.status();
        done.Set();
      },
      hasty_);
  done.Wait();
  EXPECT_TRUE(status.ok()) << status;
}

// Gives up each call before it has read the reply, so that nobody reads: see also HostileClientTest.
TEST_F(BackPressureTest, ClientThatDoesNotReadHurtsOnlyItself) {
  echo.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply.set_data(std::string(request.data().empty() ? 0 : 700'000, 'r'));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub slow = ConnectStub();
  for (int i = 0; i < 10; ++i) {
    slow.Say(MakeBlob("large"), {.timeout = absl::Microseconds(300)}).status().IgnoreError();
  }
  const Echo::Stub other = ConnectStub();
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(other.Say(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_EQ(Must(slow.Say(MakeBlob("large"), {.timeout = kLong})).data().size(), 700'000u);
}

}  // namespace
}  // namespace nearcall::integration
