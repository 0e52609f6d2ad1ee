// SPDX-License-Identifier: Apache-2.0

// The user's code in places where it could hold up others: stop callbacks of handlers, log sinks.
#include <stop_token>
#include <string>

#include "child.h"
#include "fixture.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// A handler that runs until its stop callback has been told. That of the request "stuck" does not return before the
// test lets it.
class StopCallbackTest : public IntegrationTest {
 protected:
  StopCallbackTest() {
    echo.may_block = [this](ServerContext& context, const Blob& request, Blob&) {
      Event told;
      const std::stop_callback on_stop(context.stop_token(), [&] {
        EXPECT_TRUE(context.IsCancelled());
        if (request.data() == "stuck") stuck.Set();
        if (request.data() == "stuck") release.Wait();
        told.Set();
      });
      running.Add();
      told.Wait();
      ended.Add();
      return absl::OkStatus();
    };
  }
  ~StopCallbackTest() override { release.Set(); }

  // A call whose handler runs.
  std::future<absl::Status> Begin(const std::string& data, CallOptions options, const Echo::Stub& stub) {
    const size_t number = running.value() + 1;
    auto call = std::async(std::launch::async, [stub, data, options = std::move(options)] {
      return stub.MayBlock(MakeBlob(data), options).status();
    });
    running.WaitFor(number);
    return call;
  }
  std::future<absl::Status> Begin(const std::string& data, CallOptions options) {
    return Begin(data, std::move(options), ConnectStub());
  }

  // One whose stop callback is entered, and does not return.
  void GetStuck() {
    std::stop_source stop;
    auto call = Begin("stuck", {.stop_token = stop.get_token()});
    stop.request_stop();
    stuck.Wait();
    EXPECT_EQ(call.get().code(), StatusCode::kCancelled);
  }

  Event stuck;
  Event release;
  Counter running;
  Counter ended;
};

TEST_F(StopCallbackTest, OneThatIsStuckHoldsUpNoOther) {
  const auto server = StartServer();
  std::stop_source stop;
  auto cancelled = Begin("cancelled", {.stop_token = stop.get_token()});
  GetStuck();
  stop.request_stop();
  ended.WaitFor(1);
  auto late = Begin("late", {.timeout = absl::Milliseconds(50)});
  ended.WaitFor(2);
  EXPECT_EQ(cancelled.get().code(), StatusCode::kCancelled);
  EXPECT_EQ(late.get().code(), StatusCode::kDeadlineExceeded);
  release.Set();
  ended.WaitFor(3);
}

TEST_F(StopCallbackTest, OneOfADeadlineThatIsStuckHoldsUpNoOther) {
  const auto server = StartServer();
  std::stop_source stop;
  auto cancelled = Begin("cancelled", {.stop_token = stop.get_token()});
  auto late = Begin("stuck", {.timeout = absl::Milliseconds(50)});
  stuck.Wait();
  stop.request_stop();
  ended.WaitFor(1);
  release.Set();
  ended.WaitFor(2);
}

TEST_F(StopCallbackTest, OneThatIsStuckHidesNoDeath) {
  const auto server = StartServer();
  auto channel = Connect();
  GetStuck();
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 1; })) << "that of the stuck call has gone";
  channel.reset();
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  release.Set();
}

TEST_F(StopCallbackTest, ManyThatAreStuckHoldUpNoOther) {
  const auto server = StartServer();
  std::stop_source stop;
  std::stop_source stop_stuck;
  auto cancelled = Begin("cancelled", {.stop_token = stop.get_token()});
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Begin("stuck", {.stop_token = stop_stuck.get_token()}));
  stop_stuck.request_stop();
  stop.request_stop();
  ended.WaitFor(1);
  release.Set();
  ended.WaitFor(6);
}

// Of the calls of a connection that ends, too.
TEST_F(StopCallbackTest, OneThatIsStuckHoldsUpNoneOfItsConnection) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  std::vector<std::future<absl::Status>> calls;
  for (const char* data : {"stuck", "other", "other"}) calls.push_back(Begin(data, {}, stub));
  auto shutdown = std::async(std::launch::async, [&] { server->Shutdown(absl::ZeroDuration()); });
  stuck.Wait();
  ended.WaitFor(2);
  release.Set();
  shutdown.get();
}

// The server of the nested call dies in the middle of it.
TEST_F(StopCallbackTest, ABlockingCallInOneEndsWithItsServer) {
  const std::string inner_address = Address(directory() + "/inner");
  Child inner([&](Link& parent) {
    EchoService blocking;
    Event never;
    blocking.say = [&](ServerContext&, const Blob&, Blob&) {
      parent.Tell("called");
      never.Wait();
      return absl::OkStatus();
    };
    const auto server = Must(ServerBuilder().Listen(inner_address).Register(&blocking).Start());
    parent.Tell();
    never.Wait();
  });
  ASSERT_EQ(inner.link().Await(), "go");
  const Echo::Stub nested = ConnectStub({}, inner_address);
  absl::Status status;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    Event told;
    const std::stop_callback on_stop(context.stop_token(), [&] {
      status = nested.Say(MakeBlob(""), {.timeout = kLong}).status();
      told.Set();
    });
    running.Add();
    told.Wait();
    return absl::OkStatus();
  };
  auto server = StartServer();
  std::stop_source stop;
  Pending call = SayAsync(ConnectStub(), "", {.stop_token = stop.get_token()});
  running.WaitFor(1);
  stop.request_stop();
  ASSERT_EQ(inner.link().Await(), "called");
  inner.Kill();
  server.reset();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_EQ(call.get().status().code(), StatusCode::kCancelled);
}

// --- log sinks ---

// The first line does not return before the test lets it.
class LogSinkTest : public IntegrationTest {
 protected:
  ~LogSinkTest() override { release.Set(); }

  LogSink StuckSink() {
    return [this](LogSeverity severity, absl::string_view line) {
      log.sink()(severity, line);
      entered.Add();
      release.Wait();
    };
  }

  // A violation that the monitor finds.
  static void SayNonsense() {
    const RawClient client(Address());
    client.SendControl(std::vector<std::byte>(3));
    EXPECT_TRUE(client.PeerHangsUp());
  }

  // One that whoever reads requests finds.
  static void SendNonsense() {
    RawClient client(Address());
    client.Send(client.Header(wire::FrameKind::kReply, 0));
    EXPECT_TRUE(client.PeerHangsUp());
  }

  Counter entered;
  Event release;
};

TEST_F(LogSinkTest, OneThatIsStuckHoldsUpNobody) {
  auto server = StartServer({.log_sink = StuckSink()});
  for (int i = 0; i < 3; ++i) {
    SayNonsense();
    entered.WaitFor(1);
    SendNonsense();
    EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong}).ok());
  }
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  EXPECT_EQ(entered.value(), 1u) << "one line after the other";
  release.Set();
  server.reset();
  EXPECT_EQ(log.lines().size(), 6u) << "none is lost";
}

TEST_F(LogSinkTest, OneMayCallBack) {
  std::unique_ptr<Server> server;
  Event seen;
  server = StartServer({.log_sink = [&](LogSeverity, absl::string_view) {
    EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong}).ok());
    EXPECT_NE(server->DebugString(), "");
    seen.Set();
  }});
  SayNonsense();
  seen.Wait();
}

// The channel that logs, and the sink with it.
TEST_F(LogSinkTest, OneMayDropTheLastReferenceToItsChannel) {
  RawDoor door(Address());
  std::shared_ptr<Channel> channel;
  Event gone;
  Event connected;
  auto connecting = std::async(std::launch::async, [&] {
    channel = Connect({.log_sink = [&](LogSeverity, absl::string_view) {
      connected.Wait();
      channel.reset();
      gone.Set();
    }});
    connected.Set();
  });
  RawServer server(door);
  connecting.get();
  server.SendControl(std::vector<std::byte>(3));
  gone.Wait();
}

}  // namespace
}  // namespace nearcall::integration
