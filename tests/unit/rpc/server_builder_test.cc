// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>

#include "base/limits.h"
#include "nearcall/channel.h"
#include "nearcall/server.h"
#include "unit/rpc/fake_listener.h"
#include "unit/rpc/fake_service.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using testing::FakeService;
using ::testing::HasSubstr;

class ServerBuilderTest : public ::testing::Test {
 protected:
  testing::NameDirectory directory_;
  FakeService service_{"test.Service", {"test.Service/Do"}};
};

TEST_F(ServerBuilderTest, OptionsOutOfRangeAreNamed) {
  const auto expect_named = [](const char* name, const ServerOptions& options) {
    const absl::Status status = ServerBuilder(options).Listen("echo").Start().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(status.message(), HasSubstr(name));
  };
  expect_named("max_message_size", {.max_message_size = 0});
  expect_named("max_message_size", {.max_message_size = base::kMaxMessageSize + 1});
  expect_named("max_queued_calls", {.max_queued_calls = 0});
  expect_named("max_queued_calls", {.max_queued_calls = base::kMaxCallsInFlight + 1});
  expect_named("max_handler_threads", {.max_handler_threads = 0});
  expect_named("max_handler_threads", {.max_handler_threads = base::kMaxHandlerThreads + 1});
  expect_named("max_connections_per_uid", {.max_connections_per_uid = 0});
  expect_named("max_connections_per_uid", {.max_connections_per_uid = base::kMaxConnections + 1});
  expect_named("handshake_timeout", {.handshake_timeout = absl::ZeroDuration()});
  expect_named("max_priority", {.max_priority = static_cast<Priority>(4)});
}

TEST_F(ServerBuilderTest, TheLimitsThemselvesAreAllowed) {
  for (const ServerOptions& options :
       {ServerOptions{
            .max_message_size = 1, .max_queued_calls = 1, .max_handler_threads = 1, .max_connections_per_uid = 1},
        ServerOptions{.max_message_size = base::kMaxMessageSize,
        .max_queued_calls = base::kMaxCallsInFlight,
        .max_handler_threads = base::kMaxHandlerThreads,
        .max_connections_per_uid = base::kMaxConnections}}) {
    EXPECT_TRUE(ServerBuilder(options).Listen("echo").Start().ok());
  }
}

TEST_F(ServerBuilderTest, AServiceTwiceIsInvalid) {
  const absl::Status status = ServerBuilder().Listen("echo").Register(&service_).Register(&service_).Start().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("test.Service"));
}

TEST_F(ServerBuilderTest, NoServiceAtAllIsInvalidOnlyAsNull) {
  EXPECT_EQ(ServerBuilder().Register(nullptr).Start().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(ServerBuilder().Start().ok()) << "it may be served by ServeFd() alone";
}

TEST_F(ServerBuilderTest, AnInterceptorThatIsNullIsInvalid) {
  const absl::Status status = ServerBuilder({.interceptors = {nullptr}}).Start().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "ServerOptions::interceptors has a null pointer");
}

TEST_F(ServerBuilderTest, AModeWithoutItsOwnUserIsInvalid) {
  for (const mode_t mode : {0000u, 0400u, 0266u, 01600u, 04755u, 010600u}) {
    const absl::Status status = ServerBuilder({.socket_mode = mode}).Start().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << mode;
    EXPECT_THAT(status.message(), HasSubstr("ServerOptions::socket_mode"));
  }
  EXPECT_TRUE(ServerBuilder({.socket_mode = 0777}).Start().ok());
  EXPECT_TRUE(ServerBuilder({.socket_mode = 0600}).Start().ok());
}

TEST_F(ServerBuilderTest, AMalformedAddressIsInvalid) {
  EXPECT_EQ(ServerBuilder().Listen("tcp:x").Start().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerBuilderTest, ALiveServersNameIsTaken) {
  const auto first = ServerBuilder().Listen("echo").Start();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ServerBuilder().Listen("shm:echo").Start().status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ServerBuilderTest, WhenOneDoorCannotBeOpenedNoneIs) {
  const auto first = ServerBuilder().Listen("taken").Start();
  EXPECT_FALSE(ServerBuilder().Listen("free").Listen("taken").Start().ok());
  EXPECT_TRUE(ServerBuilder().Listen("free").Start().ok());
}

TEST_F(ServerBuilderTest, SeveralAddressesOfOneNameAreOneDoor) {
  const auto server = ServerBuilder().Listen("shm:echo").Listen("echo").Listen("other").Start();
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(Channel::Connect("shm:echo").ok());
  EXPECT_TRUE(Channel::Connect("other").ok());
}

TEST_F(ServerBuilderTest, StartsOnce) {
  ServerBuilder builder;
  EXPECT_TRUE(builder.Start().ok());
  EXPECT_EQ(builder.Start().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ServerBuilderTest, ADescriptorThatDoesNotListenIsInvalid) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
  const base::Fd other(sockets[1]);
  EXPECT_EQ(ServerBuilder().ListenFd(sockets[0]).Start().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerBuilderTest, ASignalEndsTheServerThatHandlesThem) {
  const auto server = ServerBuilder({.handle_signals = true}).Listen("echo").Start();
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(ServerBuilder({.handle_signals = true}).Start().status().code(), absl::StatusCode::kFailedPrecondition);
  ::raise(SIGTERM);
  (*server)->Wait();
  EXPECT_FALSE(Channel::Connect("echo").ok());
}

}  // namespace
}  // namespace nearcall::rpc
