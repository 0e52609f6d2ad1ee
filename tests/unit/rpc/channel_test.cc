// SPDX-License-Identifier: Apache-2.0
#include "nearcall/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/limits.h"
#include "nearcall/exec_state.h"
#include "nearcall/interceptor.h"
#include "nearcall/internal/unary.h"
#include "rpc/client/channel.h"
#include "support/sanitizers.h"
#include "support/scoped_env.h"
#include "transport/address.h"
#include "unit/rpc/fake_listener.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"
#include "wire/envelope.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using testing::Bytes;
using testing::FakeListener;
using ::testing::HasSubstr;
using ::testing::Le;
using testing::MakeBytes;

constexpr internal::MethodInfo kMethod =
    internal::MakeMethod("test.Service/Do", internal::MethodKind::kUnary, Priority::kNormal, 0, false);

class ChannelTest : public ::testing::Test {
 protected:
  static absl::Status ConnectStatus(const std::string& address, const ChannelOptions& options = {}) {
    return Channel::Connect(address, options).status();
  }

  static absl::Status Call(Channel& channel, const CallOptions& options = {}) {
    Bytes reply;
    absl::Status status = channel.BlockingCall(kMethod, MakeBytes("hi"), reply, options);
    EXPECT_EQ(reply.value(), status.ok() ? "hi" : "");
    return status;
  }

  testing::NameDirectory directory_;
  const nearcall::testing::ScopedEnv transport_{"NEARCALL_TRANSPORT", nullptr};  // as it was, after a test has set it
};

// --- connecting ---

TEST_F(ChannelTest, OptionsOutOfRangeAreNamed) {
  const auto expect_named = [](const char* name, const ChannelOptions& options) {
    const absl::Status status = ConnectStatus("echo", options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), HasSubstr(name));
  };
  expect_named("max_message_size", {.max_message_size = 0});
  expect_named("max_message_size", {.max_message_size = base::kMaxMessageSize + 1});
  expect_named("max_calls_in_flight", {.max_calls_in_flight = 0});
  expect_named("max_calls_in_flight", {.max_calls_in_flight = base::kMaxCallsInFlight + 1});
  expect_named("handshake_timeout", {.handshake_timeout = absl::ZeroDuration()});
}

TEST_F(ChannelTest, AnInterceptorThatIsNullIsInvalid) {
  const absl::Status status = ConnectStatus("echo", {.interceptors = {nullptr}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "ChannelOptions::interceptors has a null pointer");
}

// Its calls take not one step more.
TEST_F(ChannelTest, OneWithoutInterceptorsIsTheChannelItself) {
  const auto channel = std::make_shared<ChannelImpl>(*transport::ParseAddress("echo"), ChannelOptions());
  EXPECT_EQ(Intercepted(channel, {}), channel);
}

TEST_F(ChannelTest, AMalformedAddressIsInvalid) {
  for (const char* address : {"", "shm:", "tcp:host", "../x", "shm:relative/path"}) {
    EXPECT_EQ(ConnectStatus(address).code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST_F(ChannelTest, WhereNobodyListensIsUnavailableAtOnce) {
  const absl::Status status = ConnectStatus("echo");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("echo"), HasSubstr(directory_.path())));
}

TEST_F(ChannelTest, ConnectTimeoutWaitsForAServer) {
  absl::Status status = absl::UnknownError("");
  std::thread client([&] { status = ConnectStatus("echo", {.connect_timeout = absl::Seconds(30)}); });
  const FakeListener listener("echo", &FakeListener::Echo);
  client.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ChannelTest, ConnectTimeoutEnds) {
  const base::SteadyNs start = base::NowNs();
  EXPECT_EQ(ConnectStatus("echo", {.connect_timeout = absl::Milliseconds(10)}).code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(base::NowNs() - start, 10'000'000);
}

TEST_F(ChannelTest, ABareNameMeansWhatTheEnvironmentSays) {
  const FakeListener listener("echo", &FakeListener::Echo);
  ::setenv("NEARCALL_TRANSPORT", "carrier-pigeon", 1);
  EXPECT_EQ(ConnectStatus("echo").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(ConnectStatus("echo").message(), HasSubstr("NEARCALL_TRANSPORT=carrier-pigeon"));
  EXPECT_TRUE(ConnectStatus("shm:echo").ok()) << "a name with a transport is not touched";
  ::setenv("NEARCALL_TRANSPORT", "shm", 1);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok());
  EXPECT_EQ((*channel)->transport(), "shm");
  ::setenv("NEARCALL_TRANSPORT", "", 1);
  EXPECT_TRUE(ConnectStatus("echo").ok());
}

// --- calls and reconnecting ---

TEST_F(ChannelTest, ACallGoesThere) {
  const FakeListener listener("echo", &FakeListener::Echo);
  const auto channel = Channel::Connect("shm:echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_TRUE(Call(**channel).ok());
  EXPECT_THAT((*channel)->DebugString(), HasSubstr("shm:echo"));
}

TEST_F(ChannelTest, ConnectsAgainWhenTheServerIsBack) {
  std::optional<FakeListener> listener;
  listener.emplace("echo", &FakeListener::Echo);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  listener.reset();
  const absl::Status gone = Call(**channel);
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*channel)->transport(), "shm") << "that of the last connection";
  listener.emplace("echo", &FakeListener::Echo);
  EXPECT_TRUE(Call(**channel).ok());
}

TEST_F(ChannelTest, ManyCallersShareOneNewConnection) {
  std::optional<FakeListener> listener;
  listener.emplace("echo", &FakeListener::Echo);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  listener.reset();
  // A call that goes to a connection of which the end has not been noticed yet fails with it.
  while (!absl::StrContains((*channel)->DebugString(), "dead")) std::this_thread::yield();
  listener.emplace("echo", &FakeListener::Echo);
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      const absl::Status status = Call(**channel);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(listener->handshakes(), 1);
}

// --- calls that no handler has seen ---

// A server whose first connection answers each request with a failure of its own, in place of a handler's; the later
// ones echo.
class RefusingServer {
 public:
  explicit RefusingServer(ExecState state)
      : envelope_(*wire::EncodeReplyEnvelope({.status = absl::UnavailableError("going away"), .exec_state = state})) {}

  int handshakes() const { return listener_.handshakes(); }

 private:
  void Serve(transport::Connection connection, const std::atomic<bool>& stopping) {
    if (connections_++ != 0) return FakeListener::Echo(std::move(connection), stopping);
    session::testing::ScriptedPeer peer(std::move(connection));
    while (!stopping) {
      const auto request = peer.Receive(base::NowNs() + 5'000'000);
      if (!request) continue;
      wire::FrameHeader header = session::testing::ScriptedPeer::ReplyTo(*request);
      header.status = static_cast<uint8_t>(absl::StatusCode::kUnavailable);
      header.flags |= wire::kEnvelope;
      header.envelope_size = static_cast<uint32_t>(envelope_.size());
      peer.Send(header, envelope_);
    }
  }

  const std::string envelope_;
  std::atomic<int> connections_{0};
  const FakeListener listener_{"echo", [this](transport::Connection connection, const std::atomic<bool>& stopping) {
                                 Serve(std::move(connection), stopping);
                               }};
};

absl::Status CallAsync(Channel& channel) {
  const auto ended = std::make_shared<std::promise<absl::Status>>();
  internal::AsyncUnary<Bytes, Bytes>(channel, kMethod, MakeBytes("hi"),
                                     [ended](const absl::StatusOr<Bytes>& reply) { ended->set_value(reply.status()); },
                                     {});
  return ended->get_future().get();
}

TEST_F(ChannelTest, ACallThatNoHandlerHasSeenGoesToTheNextConnection) {
  const RefusingServer server(ExecState::kNotStarted);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  const absl::Status status = Call(**channel);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(server.handshakes(), 2);
}

TEST_F(ChannelTest, AnAsynchronousCallThatNoHandlerHasSeenGoesToTheNextConnection) {
  const RefusingServer server(ExecState::kNotStarted);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  const absl::Status status = CallAsync(**channel);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(server.handshakes(), 2);
}

TEST_F(ChannelTest, ACallThatAHandlerHasSeenIsNotSentAgain) {
  const RefusingServer server(ExecState::kExecuted);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_EQ(Call(**channel).message(), "going away");
  EXPECT_EQ(CallAsync(**channel).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server.handshakes(), 1);
}

// --- servers that hang up ---

// A server that takes every connection and drops it must neither keep a call for ever nor be run down by it.
TEST_F(ChannelTest, AServerThatAlwaysHangsUpEndsTheCall) {
  const FakeListener listener("echo", &FakeListener::HangUp);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  const absl::Status status = Call(**channel, {.timeout = absl::Seconds(2)});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(listener.handshakes(), Le(10));
}

TEST_F(ChannelTest, ManyCallersOfAServerThatAlwaysHangsUpAreAllTold) {
  const FakeListener listener("echo", &FakeListener::HangUp);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        const absl::Status status = Call(**channel, {.timeout = absl::Seconds(20)});
        EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// --- waiting for a server ---

class WaitForReadyTest : public ChannelTest {
 protected:
  WaitForReadyTest() {
    listener_.emplace("echo", &FakeListener::Echo);
    channel_ = *Channel::Connect("echo");
    listener_.reset();
    EXPECT_EQ(Call(*channel_).code(), absl::StatusCode::kUnavailable);
  }

  std::optional<FakeListener> listener_;
  std::shared_ptr<Channel> channel_;
};

TEST_F(WaitForReadyTest, ACallWaitsForTheServer) {
  absl::Status status = absl::UnknownError("");
  std::thread caller([&] { status = Call(*channel_, {.wait_for_ready = true}); });
  listener_.emplace("echo", &FakeListener::Echo);
  caller.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(WaitForReadyTest, ADeadlineEndsTheWait) {
  const absl::Status status = Call(*channel_, {.timeout = absl::Milliseconds(10), .wait_for_ready = true});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr(directory_.path()));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(WaitForReadyTest, AStopRequestEndsTheWait) {
  std::stop_source stop;
  absl::Status status;
  std::thread caller([&] {
    status = Call(*channel_, {.timeout = absl::Seconds(10), .stop_token = stop.get_token(), .wait_for_ready = true});
  });
  absl::SleepFor(absl::Milliseconds(20));  // so that it is likely to wait; it must hold in any case
  stop.request_stop();
  caller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

// --- fork ---

TEST_F(ChannelTest, AForkedChildIsToldToConnectForItself) {
  if (!nearcall::testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  const FakeListener listener("echo", &FakeListener::Echo);
  const auto channel = Channel::Connect("echo");
  ASSERT_TRUE(channel.ok()) << channel.status();
  const pid_t child = ::fork();
  if (child == 0) {
    const absl::Status status = Call(**channel);
    ::_exit(status.code() == absl::StatusCode::kFailedPrecondition && ExecStateOf(status) == ExecState::kNotSent ? 0
                                                                                                                 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Call(**channel).ok()) << "the parent's is as it was";
}

}  // namespace
}  // namespace nearcall::rpc
