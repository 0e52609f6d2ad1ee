// SPDX-License-Identifier: Apache-2.0

// nearcall.stats.v1.Stats: what every server counts and holds, asked for as a user would.
#include <unistd.h>

#include <future>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"
#include "meeting_place.h"
#include "nearcall/generic.h"
#include "nearcall/stats/v1/stats.nearcall.pb.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using stats::v1::GetRequest;
using stats::v1::GetResponse;
using ::testing::HasSubstr;

constexpr char kSay[] = "nearcall.integration.Echo/Say";

GetResponse Ask(const std::shared_ptr<Channel>& channel, uint32_t max_connections = 0) {
  GetRequest request;
  request.set_max_connections(max_connections);
  return Must(stats::v1::Stats::Stub(channel).Get(request, InTime()));
}

// Of that name; one without a name, if it was not called.
stats::v1::Method MethodOf(const GetResponse& stats, const std::string& name) {
  for (const stats::v1::Method& method : stats.methods()) {
    if (method.name() == name) return method;
  }
  return {};
}

uint64_t Ended(const stats::v1::Method& method, StatusCode code) {
  for (const stats::v1::Ended& ended : method.ended()) {
    if (ended.code() == static_cast<int>(code)) return ended.count();
  }
  return 0;
}

uint64_t Ended(const stats::v1::Method& method) {
  uint64_t count = 0;
  for (const stats::v1::Ended& ended : method.ended()) count += ended.count();
  return count;
}

class StatsTest : public StreamTest {
 protected:
  // What is counted of a method, once `count` of its calls have ended: that is a moment after their callers know it.
  stats::v1::Method Counted(const std::shared_ptr<Channel>& channel, const std::string& name, uint64_t count) {
    stats::v1::Method method;
    EXPECT_TRUE(Eventually([&] {
      method = MethodOf(Ask(channel), name);
      return Ended(method) == count;
    })) << method.DebugString();
    return method;
  }
};

TEST_F(StatsTest, CallsAreCountedByTheirMethodAndEnd) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data().empty()) return absl::NotFoundError("nothing");
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(stub.Say(MakeBlob("12345678"), InTime()).ok());
  EXPECT_EQ(stub.Say(MakeBlob(""), InTime()).status().code(), StatusCode::kNotFound);
  const stats::v1::Method method = Counted(channel, kSay, 4);
  EXPECT_EQ(method.begun(), 4u);
  EXPECT_EQ(Ended(method, StatusCode::kOk), 3u);
  EXPECT_EQ(Ended(method, StatusCode::kNotFound), 1u);
  EXPECT_EQ(method.refused(), 0u);
  EXPECT_EQ(method.bytes_received(), 3 * MakeBlob("12345678").ByteSizeLong());
  EXPECT_GE(method.bytes_sent(), method.bytes_received() + 7) << "and the text of the error";
  uint64_t latencies = 0;
  for (const stats::v1::Bucket& bucket : method.latency().buckets()) {
    EXPECT_LT(bucket.from_ns(), bucket.below_ns());
    latencies += bucket.count();
  }
  EXPECT_EQ(latencies, 4u);
  EXPECT_GT(method.latency().sum_ns(), 0u);
  EXPECT_EQ(MethodOf(Ask(channel), "nearcall.integration.Echo/High").name(), "") << "it was never called";
}

TEST_F(StatsTest, WhatRunsHasBegunAndNotEnded) {
  Event in_handler;
  Event may_end;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    in_handler.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto channel = Connect();
  auto call = std::async(std::launch::async, [&] { return Echo::Stub(channel).MayBlock(MakeBlob("x"), InTime()); });
  in_handler.Wait();
  const GetResponse stats = Ask(channel);
  const stats::v1::Method method = MethodOf(stats, "nearcall.integration.Echo/MayBlock");
  EXPECT_EQ(method.begun(), 1u);
  EXPECT_EQ(method.ended_size(), 0);
  EXPECT_EQ(stats.server().calls_active(), 2u) << "that one, and this";
  EXPECT_EQ(stats.server().handlers_running(), 2u);
  may_end.Set();
  EXPECT_TRUE(call.get().ok());
  EXPECT_EQ(Ended(Counted(channel, method.name(), 1), StatusCode::kOk), 1u);
}

TEST_F(StatsTest, ElementsOfStreamsAreCounted) {
  const auto server = StartServer();
  const auto channel = Connect();
  const auto chat = Streams::Stub(channel).Chat(InTime());
  Blob reply;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(chat->Write(MakeBlob("abc")));
    ASSERT_TRUE(chat->Read(&reply));
  }
  const std::string name = "nearcall.integration.Streams/Chat";
  EXPECT_GE(MethodOf(Ask(channel), name).elements_received(), 16u) << "while it lasts";
  EXPECT_EQ(Ask(channel).connections(0).streams(), 1u);
  chat->WritesDone();
  EXPECT_TRUE(chat->Finish().ok());
  const stats::v1::Method method = Counted(channel, name, 1);
  EXPECT_EQ(method.elements_received(), 20u);
  EXPECT_EQ(method.elements_sent(), 20u);
  EXPECT_EQ(method.bytes_received(), 20 * MakeBlob("abc").ByteSizeLong());
  EXPECT_EQ(method.bytes_sent(), 20 * MakeBlob("abc").ByteSizeLong());
}

TEST_F(StatsTest, TellsOfTheServerItsConnectionsAndUsers) {
  const auto server = StartServer();
  const auto channel = Connect();
  const auto other = Connect();
  EXPECT_TRUE(Echo::Stub(other).Say(MakeBlob("x"), InTime()).ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; })) << "that its caller knows a moment before";
  const GetResponse stats = Ask(channel);
  EXPECT_EQ(stats.server().pid(), ::getpid());
  EXPECT_GT(stats.server().uptime_ns(), 0);
  EXPECT_LT(absl::FromUnixNanos(stats.server().start_time_unix_ns()), absl::Now());
  EXPECT_GT(stats.server().cpu_user_ns() + stats.server().cpu_system_ns(), 0);
  EXPECT_EQ(stats.server().connections(), 2u);
  EXPECT_FALSE(stats.server().draining());
  ASSERT_EQ(stats.connections_size(), 2);
  EXPECT_EQ(stats.connections(0).calls(), 1u) << "the one that asks is the busiest";
  EXPECT_EQ(stats.connections(0).pid(), KnownPid(::getpid()));
  EXPECT_EQ(stats.connections(0).uid(), ::getuid());
  EXPECT_EQ(stats.connections(0).transport(), TransportName());
  EXPECT_EQ(stats.connections(1).frames_sent(), 1u);
  ASSERT_EQ(stats.users_size(), 1);
  EXPECT_EQ(stats.users(0).calls().taken(), 1u);
  EXPECT_EQ(stats.users(0).handlers().limit(), stats.server().max_handlers());
  EXPECT_THAT(server->DebugString(), HasSubstr(stats.users(0).name() + ": "));
  EXPECT_EQ(Ask(channel, 1).connections_size(), 1);
  EXPECT_EQ(Ask(channel, 1).server().connections(), 2u);
}

TEST_F(StatsTest, MethodsThatThereAreNotAreOne) {
  const auto server = StartServer();
  const auto channel = Connect();
  const GenericStub stub(channel);
  for (const char* name : {"no.Such/One", "no.Such/Other"}) {
    EXPECT_EQ(stub.Unary(name, Bytes(), InTime()).status().code(), StatusCode::kUnimplemented);
  }
  const stats::v1::Method method = Counted(channel, "_OTHER", 2);
  EXPECT_EQ(Ended(method, StatusCode::kUnimplemented), 2u);
  EXPECT_EQ(method.refused(), 2u);
}

class Anything final : public CoGenericService {
 public:
  Task<absl::Status> Call(ServerContext&, CallKind, CoServerReaderWriter<Bytes, Bytes>& stream) override {
    const Bytes reply;
    co_await stream.Write(reply);
    co_return absl::OkStatus();
  }
};

// As many names as a client likes, and one place for all of them.
TEST_F(StatsTest, MethodsOfAGenericServiceAreOne) {
  Anything anything;
  const auto server =
      Must(ServerBuilder({.log_sink = log.sink()}).Listen(Address()).RegisterGeneric(&anything).Start());
  const auto channel = Connect();
  const GenericStub stub(channel);
  for (const char* name : {"any.Such/One", "any.Such/Other"}) EXPECT_TRUE(stub.Unary(name, Bytes(), InTime()).ok());
  EXPECT_EQ(Ended(Counted(channel, "*", 2), StatusCode::kOk), 2u);
}

TEST_F(StatsTest, WhoLeavesBeforeTheAnswerHasCancelled) {
  Event in_handler;
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    in_handler.Set();
    EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
    return absl::CancelledError("nobody waits");
  };
  const auto server = StartServer();
  const auto channel = Connect();
  std::stop_source stop;
  auto call = std::async(std::launch::async, [&] {
    return Echo::Stub(channel).MayBlock(MakeBlob("x"), {.stop_token = stop.get_token()}).status();
  });
  in_handler.Wait();
  stop.request_stop();
  EXPECT_EQ(call.get().code(), StatusCode::kCancelled);
  EXPECT_EQ(Ended(Counted(channel, "nearcall.integration.Echo/MayBlock", 1), StatusCode::kCancelled), 1u);
}

// --- who may ask ---

TEST_F(StatsTest, HasItsSwitch) {
  const auto server = StartServer({.stats = false});
  EXPECT_EQ(stats::v1::Stats::Stub(Connect()).Get(GetRequest(), InTime()).status().code(), StatusCode::kUnimplemented);
}

TEST_F(StatsTest, WhoMayNotCallIsToldNothing) {
  const auto server = StartServer({.authorize = [](const PeerIdentity&, absl::string_view method) {
    return absl::StartsWith(method, "nearcall.stats.") ? absl::PermissionDeniedError("not you") : absl::OkStatus();
  }});
  EXPECT_EQ(stats::v1::Stats::Stub(Connect()).Get(GetRequest(), InTime()).status().code(),
            StatusCode::kPermissionDenied);
}

TEST_F(StatsTest, AnotherUserIsToldOfItself) {
  NEEDS_OTHER_USERS();
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
  const std::string address = Address(MakeMeetingPlace(directory()) + "/meeting");
  Child stranger([&address](Link& parent) {
    BecomeStranger({});
    parent.Await();
    const GetResponse stats = Ask(Must(Channel::Connect(address)));
    parent.Tell(absl::StrCat(stats.connections_size(), " connections, of pid ", stats.connections(0).pid(), ", ",
                             stats.users_size(), " users, ", stats.server().connections(), " in all"));
  });
  const auto server = IntegrationTest::StartServer(
      {.allowed_uids = {0, kStranger}, .blockable_transports_for_other_users = true}, address);
  const auto channel = Connect({}, address);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x"), InTime()).ok());
  stranger.link().Tell();
  EXPECT_EQ(stranger.link().Await(), absl::StrCat("1 connections, of pid ", stranger.pid(), ", 1 users, 2 in all"));
  EXPECT_EQ(Ask(channel).users_size(), 2) << "the server's own user and root are told all";
}

}  // namespace
}  // namespace nearcall::integration
