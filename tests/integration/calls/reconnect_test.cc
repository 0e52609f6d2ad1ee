// SPDX-License-Identifier: Apache-2.0

// Death and return of the other side.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stop_token>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ReconnectTest : public IntegrationTest {
 protected:
  // The body of a child process that serves until it is killed. A call of "block" never returns.
  void Serve(Link& parent) {
    echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() == "block") {
        parent.Tell("running");
        parent.Await();
      }
      return EchoBack(context, request, reply);
    };
    const auto server = StartServer();
    parent.Tell();
    server->Wait();
  }
  std::unique_ptr<Child> StartServerProcess() {
    auto child = std::make_unique<Child>([this](Link& parent) { Serve(parent); });
    child->link().Await();
    return child;
  }
};

TEST_F(ReconnectTest, ServerKilledInTheMiddleOfACall) {
  const auto child = StartServerProcess();
  const Echo::Stub stub = ConnectStub();
  Pending call = SayAsync(stub, "block");
  EXPECT_EQ(child->link().Await(), "running");
  const absl::Time before = absl::Now();
  child->Kill();
  const absl::Status status = call.get().status();
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, absl::StrCat("the server at ", Address())));
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
}

TEST_F(ReconnectTest, EachOfManyCallsEndsWhenTheServerDies) {
  const auto child = StartServerProcess();
  const Echo::Stub stub = ConnectStub();
  std::vector<Pending> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(SayAsync(stub, "block"));
    EXPECT_EQ(child->link().Await(), "running");
  }
  child->Kill();
  for (Pending& call : calls) EXPECT_EQ(call.get().status().code(), StatusCode::kUnavailable);
}

TEST_F(ReconnectTest, ServerThatDiedIsNamedUntilItIsBack) {
  auto child = StartServerProcess();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  child->Kill();
  // The first call may find the old connection, and the others the dead socket.
  EXPECT_TRUE(Eventually(
      [&] { return absl::StrContains(stub.Say(MakeBlob("")).status().message(), "left by a server that died"); }));
  const absl::Status status = stub.Say(MakeBlob("")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, directory() + "/echo"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(ReconnectTest, SameChannelReachesTheNextServer) {
  auto first = StartServer();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("1")).ok());
  first.reset();
  EXPECT_EQ(stub.Say(MakeBlob("")).status().code(), StatusCode::kUnavailable);
  for (int i = 0; i < 5; ++i) {
    auto next = StartServer();
    EXPECT_EQ(Must(stub.Say(MakeBlob("2"))).data(), "2");
    next.reset();
    // A call before that might still find the old connection.
    EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "dead"); }));
  }
}

TEST_F(ReconnectTest, WaitForReadyWaitsForTheServer) {
  auto first = StartServer();
  const Echo::Stub stub = ConnectStub();
  first.reset();
  EXPECT_FALSE(stub.Say(MakeBlob("")).ok());  // the channel knows now
  Pending call = SayAsync(stub, "patient", {.timeout = kLong, .wait_for_ready = true});
  auto second = StartServer();
  EXPECT_EQ(Must(call.get()).data(), "patient");
}

TEST_F(ReconnectTest, WaitForReadyEndsAtTheDeadline) {
  auto first = StartServer();
  const Echo::Stub stub = ConnectStub();
  first.reset();
  EXPECT_FALSE(stub.Say(MakeBlob("")).ok());  // the channel knows now
  const absl::Time before = absl::Now();
  const absl::Status status =
      stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(30), .wait_for_ready = true}).status();
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(30));
  EXPECT_THAT(status, FailsWith(StatusCode::kDeadlineExceeded, "no server listens"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(ReconnectTest, WaitForReadyCanBeCancelled) {
  auto first = StartServer();
  const Echo::Stub stub = ConnectStub();
  first.reset();
  std::stop_source stop;
  Pending call = SayAsync(stub, "", {.timeout = kLong, .stop_token = stop.get_token(), .wait_for_ready = true});
  const absl::Time before = absl::Now();
  stop.request_stop();
  const absl::Status status = call.get().status();
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  EXPECT_LT(absl::Now() - before, kLong / 2);
}

TEST_F(ReconnectTest, ManyCallersReconnectOnce) {
  auto first = StartServer();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  first.reset();
  // Else one of them may yet be sent to the first one.
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "dead"); }));
  auto second = StartServer();
  std::vector<Pending> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(SayAsync(stub, std::to_string(i), {.timeout = kLong}));
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(Must(calls[i].get()).data(), std::to_string(i));
  EXPECT_EQ(ConnectionCount(*second), 1u);
}

TEST_F(ReconnectTest, DeathOfTheClientReachesTheHandler) {
  Event began;
  Event cancelled;
  Child client([this](Link& parent) {
    parent.Await();
    const auto channel = Connect();
    Must(Echo::Stub(channel).Say(MakeBlob("never returns")).status());
  });
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    began.Set();
    cancelled.Wait();
    EXPECT_TRUE(context.IsCancelled());
    return absl::OkStatus();
  };
  const auto server = StartServer();
  client.link().Tell();
  began.Wait();
  client.Kill();
  cancelled.Wait();
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
}

// A stopped server is there, and yet it is not: only the deadline helps.
TEST_F(ReconnectTest, StoppedServer) {
  const auto child = StartServerProcess();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  ::kill(child->pid(), SIGSTOP);
  ASSERT_EQ(::waitpid(child->pid(), nullptr, WUNTRACED), child->pid());
  const absl::Status call = stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(30)}).status();
  EXPECT_THAT(call, FailsWith(StatusCode::kDeadlineExceeded, absl::StrCat("no reply from ", Address())));
  EXPECT_THAT(Channel::Connect(Address(), {.handshake_timeout = absl::Milliseconds(30)}).status(),
              FailsWith(StatusCode::kDeadlineExceeded, "is it stopped?"));
  ::kill(child->pid(), SIGCONT);
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong}).ok());
}

}  // namespace
}  // namespace nearcall::integration
