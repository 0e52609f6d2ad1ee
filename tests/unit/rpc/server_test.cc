// SPDX-License-Identifier: Apache-2.0
#include "nearcall/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nearcall/channel.h"
#include "nearcall/exec_state.h"
#include "unit/rpc/fake_listener.h"
#include "unit/rpc/fake_service.h"

namespace nearcall::rpc {
namespace {

using testing::Bytes;
using testing::FakeService;
using ::testing::HasSubstr;
using testing::MakeBytes;

constexpr size_t kEcho = 0;
constexpr size_t kBlocking = 1;

template <typename Condition>
bool Becomes(Condition&& condition) {
  const base::SteadyNs until = session::testing::Patience();
  while (!condition()) {
    if (base::NowNs() >= until) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

// A real server and real channels in one process.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    service_.SetMayBlock(kBlocking);
    service_.handler = [](ServerContext&, const Bytes& request, Bytes& reply) {
      reply = request;
      return absl::OkStatus();
    };
  }

  void Start(const ServerOptions& options = {}) {
    auto server = ServerBuilder(options).Listen("echo").Register(&service_).Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Starts a server whose handler does `first`, says that it is running_, and ends when its call is cancelled.
  void StartWithHandlerThatWaitsForCancel(const std::function<void()>& first = [] {}) {
    service_.handler = [this, first](ServerContext& context, const Bytes&, Bytes&) {
      first();
      running_ = true;
      EXPECT_TRUE(Becomes([&] { return context.IsCancelled(); }));
      return absl::OkStatus();
    };
    Start();
  }

  static std::shared_ptr<Channel> Connect() { return *Channel::Connect("echo"); }

  absl::Status Call(Channel& channel, const CallOptions& options = {}, size_t method = kEcho,
                    const std::string& value = "hi", Bytes* reply = nullptr) {
    Bytes ignored;
    return channel.BlockingCall(service_.method(method), MakeBytes(value), reply == nullptr ? ignored : *reply,
                                options);
  }

  // A handler that takes longer than any watchdog of the client waits, and replies with more than fits.
  void ExpectLateLargeReplies(size_t method) {
    service_.handler = [](ServerContext&, const Bytes&, Bytes& reply) {
      absl::SleepFor(absl::Milliseconds(20));
      reply.set_value(std::string(1 << 20, 'r'));
      return absl::OkStatus();
    };
    Start();
    const auto channel = Connect();
    for (int i = 0; i < 5; ++i) {
      Bytes reply;
      const absl::Status status = Call(*channel, {.timeout = absl::Seconds(10)}, method, "", &reply);
      ASSERT_TRUE(status.ok()) << status << "\n" << server_->DebugString();
      EXPECT_EQ(reply.value().size(), size_t{1} << 20);
    }
  }

  bool ServerSays(const std::string& text) {
    return Becomes([&] { return server_->DebugString().find(text) != std::string::npos; });
  }

  testing::NameDirectory directory_;
  FakeService service_{"test.Service", {"test.Service/Echo", "test.Service/Block"}};
  std::atomic<bool> running_{false};
  std::unique_ptr<Server> server_;
};

// A reply that does not fit is kept; the poller, which may be asleep, must send the rest when the client makes room.
TEST_F(ServerTest, ALargeReplyOfAWorkerArrivesThoughThePollerSleeps) {
  ExpectLateLargeReplies(kBlocking);
}

// The same for the thread that has lost the lead while its handler ran.
TEST_F(ServerTest, ALargeReplyOfAHandlerThatWasStuckArrives) {
  ExpectLateLargeReplies(kEcho);
}

TEST_F(ServerTest, ManyLargeRepliesOfManyWorkersArrive) {
  service_.handler = [](ServerContext&, const Bytes& request, Bytes& reply) {
    reply.set_value(std::string(300'000, request.value()[0]));
    return absl::OkStatus();
  };
  Start();
  const auto channel = Connect();
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      const std::string letter(1, static_cast<char>('a' + i));
      for (int j = 0; j < 10; ++j) {
        Bytes reply;
        const absl::Status status = Call(*channel, {.timeout = absl::Seconds(20)}, kBlocking, letter, &reply);
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(reply.value(), std::string(300'000, letter[0]));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// --- connections that end ---

TEST_F(ServerTest, ForgetsConnectionsThatHaveEnded) {
  Start();
  for (int i = 0; i < 50; ++i) {
    const auto channel = Connect();
    EXPECT_TRUE(Call(*channel).ok());
  }
  EXPECT_TRUE(ServerSays("poller: 0 connections")) << server_->DebugString();
}

// A client may be gone before the server has taken it in.
TEST_F(ServerTest, ForgetsConnectionsThatEndedAtOnce) {
  Start({.max_connections_per_uid = 100'000});
  for (int i = 0; i < 300; ++i) Connect();
  EXPECT_TRUE(ServerSays("poller: 0 connections")) << server_->DebugString();
}

TEST_F(ServerTest, APlaceIsFreeAgainWhenItsConnectionHasEnded) {
  Start({.max_connections_per_uid = 1});
  auto channel = Connect();
  EXPECT_EQ(Channel::Connect("echo").status().code(), absl::StatusCode::kResourceExhausted);
  channel.reset();
  EXPECT_TRUE(Becomes([] { return Channel::Connect("echo").ok(); }));
}

// --- shutting down ---

TEST_F(ServerTest, ShutdownWaitsForWhatRuns) {
  std::atomic<bool> running{false};
  service_.handler = [&](ServerContext&, const Bytes& request, Bytes& reply) {
    running = true;
    absl::SleepFor(absl::Milliseconds(30));
    reply = request;
    return absl::OkStatus();
  };
  Start();
  const auto channel = Connect();
  absl::Status status = absl::UnknownError("");
  std::thread caller([&] { status = Call(*channel); });
  EXPECT_TRUE(Becomes([&] { return running.load(); }));
  server_->Shutdown(absl::Seconds(30));
  caller.join();
  EXPECT_TRUE(status.ok()) << status;
}

// The last byte of what was held back ends the shutdown, not its grace.
TEST_F(ServerTest, ShutdownEndsWhenWhatWasHeldBackIsTaken) {
  service_.handler = [](ServerContext&, const Bytes&, Bytes& reply) {
    reply.set_value(std::string(4 << 20, 'r'));
    return absl::OkStatus();
  };
  for (int i = 0; i < 10; ++i) {
    Start();
    const auto channel = Connect();
    absl::Status status = absl::UnknownError("");
    std::thread caller([&] { status = Call(*channel, {.timeout = absl::Seconds(20)}); });
    EXPECT_TRUE(ServerSays("started: 1"));
    const base::SteadyNs start = base::NowNs();
    server_->Shutdown(absl::Seconds(10));
    server_->Wait();
    EXPECT_LT(base::NowNs() - start, 8'000'000'000) << "it waited for the whole grace";
    caller.join();
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_F(ServerTest, AfterItsGraceShutdownCancelsWhatStillRuns) {
  StartWithHandlerThatWaitsForCancel();
  const auto channel = Connect();
  absl::Status status;
  std::thread caller([&] { status = Call(*channel); });
  EXPECT_TRUE(Becomes([&] { return running_.load(); }));
  server_->Shutdown(absl::Milliseconds(10));
  caller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(ServerTest, AHandlerMayShutTheServerDown) {
  service_.handler = [this](ServerContext&, const Bytes& request, Bytes& reply) {
    server_->Shutdown(absl::Seconds(30));
    reply = request;
    return absl::OkStatus();
  };
  Start();
  const auto channel = Connect();
  EXPECT_TRUE(Call(*channel).ok());
  server_->Wait();
}

TEST_F(ServerTest, ShutdownFromManyThreadsIsOne) {
  Start();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { server_->Shutdown(); });
  for (std::thread& thread : threads) thread.join();
  server_->Wait();
  EXPECT_EQ(server_->ServeFd(-1).code(), absl::StatusCode::kUnavailable);
}

// The grace that ends first counts.
TEST_F(ServerTest, ALaterShutdownDoesNotProlongTheGrace) {
  StartWithHandlerThatWaitsForCancel([this] { server_->Shutdown(absl::Milliseconds(500)); });
  const auto channel = Connect();
  const base::SteadyNs start = base::NowNs();
  std::thread caller([&] { Call(*channel).IgnoreError(); });
  EXPECT_TRUE(Becomes([&] { return running_.load(); }));
  server_->Shutdown(absl::Seconds(20));
  server_->Wait();
  EXPECT_LT(base::NowNs() - start, 15'000'000'000);
  caller.join();
}

// --- ServeFd ---

TEST_F(ServerTest, ServesASocketOfAPair) {
  Start();
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
  EXPECT_TRUE(server_->ServeFd(sockets[0]).ok());
  const auto channel = Channel::Connect(absl::StrCat("fd:", sockets[1]));
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_TRUE(Call(**channel).ok());
}

TEST_F(ServerTest, OtherDescriptorsAreInvalid) {
  Start();
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  const base::Fd other(sockets[1]);
  EXPECT_EQ(server_->ServeFd(sockets[0]).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server_->ServeFd(-1).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nearcall::rpc
