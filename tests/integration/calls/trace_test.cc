// SPDX-License-Identifier: Apache-2.0

// nearcall.stats.v1.Stats/Trace: calls as they end, told to whoever may hear of them.
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

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
using stats::v1::TraceRequest;
using stats::v1::TraceResponse;
using ::testing::ElementsAre;

constexpr char kSay[] = "nearcall.integration.Echo/Say";

// What a server tells of its calls, from when this is made.
class Trace {
 public:
  explicit Trace(const std::shared_ptr<Channel>& channel, const std::string& method = "") {
    TraceRequest request;
    request.set_method(method);
    stream_ = stats::v1::Stats::Stub(channel).Trace(request, InTime());
    begun_ = stream_->Read(&response_) && response_.calls_size() == 0;
  }

  bool begun() const { return begun_; }

  // The next one; one without a method if the trace has ended.
  stats::v1::Call Next() {
    while (next_ == response_.calls_size()) {
      next_ = 0;
      if (!stream_->Read(&response_)) {
        response_.Clear();
        return {};
      }
      dropped_ += response_.dropped();
    }
    return response_.calls(next_++);
  }

  std::vector<std::string> Next(int count) {
    std::vector<std::string> methods;
    while (count-- > 0) methods.push_back(Next().method());
    return methods;
  }

  uint64_t dropped() const { return dropped_; }
  absl::Status Finish() { return stream_->Finish(); }

 private:
  std::unique_ptr<ClientReader<TraceResponse>> stream_;
  TraceResponse response_;
  bool begun_ = false;
  int next_ = 0;
  uint64_t dropped_ = 0;
};

class TraceTest : public StreamTest {};

TEST_F(TraceTest, CallsAreToldWhenTheyAreOver) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data().empty()) return absl::NotFoundError("nothing");
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  Trace trace(Connect());
  ASSERT_TRUE(trace.begun());
  const absl::Time before = absl::Now();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("12345678"), InTime()).ok());
  const stats::v1::Call well = trace.Next();
  EXPECT_EQ(well.method(), kSay);
  EXPECT_EQ(well.code(), 0);
  EXPECT_FALSE(well.refused());
  EXPECT_EQ(well.pid(), KnownPid(::getpid()));
  EXPECT_EQ(well.uid(), ::getuid());
  EXPECT_EQ(well.transport(), TransportName());
  EXPECT_EQ(well.bytes_received(), MakeBlob("12345678").ByteSizeLong());
  EXPECT_EQ(well.bytes_sent(), MakeBlob("12345678").ByteSizeLong());
  EXPECT_GT(well.duration_ns(), 0);
  const absl::Time start = absl::FromUnixNanos(well.start_time_unix_ns());
  EXPECT_GT(start, before - absl::Seconds(1));
  EXPECT_LT(start, absl::Now() + absl::Seconds(1));
  EXPECT_FALSE(stub.Say(MakeBlob(""), InTime()).ok());
  const stats::v1::Call ill = trace.Next();
  EXPECT_EQ(ill.code(), static_cast<int>(StatusCode::kNotFound));
  EXPECT_EQ(ill.connection(), well.connection());
}

TEST_F(TraceTest, AStreamIsToldWithItsElements) {
  const auto server = StartServer();
  Trace trace(Connect());
  const auto chat = ConnectStreams().Chat(InTime());
  Blob reply;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(chat->Write(MakeBlob("abc")));
    ASSERT_TRUE(chat->Read(&reply));
  }
  chat->WritesDone();
  EXPECT_TRUE(chat->Finish().ok());
  const stats::v1::Call call = trace.Next();
  EXPECT_EQ(call.method(), "nearcall.integration.Streams/Chat");
  EXPECT_EQ(call.elements_received(), 20u);
  EXPECT_EQ(call.elements_sent(), 20u);
  EXPECT_EQ(call.bytes_received(), 20 * MakeBlob("abc").ByteSizeLong());
  EXPECT_EQ(call.bytes_sent(), 20 * MakeBlob("abc").ByteSizeLong());
}

TEST_F(TraceTest, OfAMethodOrAServiceAlone) {
  const auto server = StartServer();
  const auto channel = Connect();
  Trace of_method(channel, "nearcall.integration.Echo/High");
  Trace of_service(channel, "nearcall.integration.Echo");
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("x"), InTime()).ok());
  // The caller knows a moment before.
  EXPECT_THAT(of_service.Next(1), ElementsAre(kSay));
  EXPECT_TRUE(ConnectStreams().Chat(InTime())->Finish().ok());
  EXPECT_TRUE(stub.High(MakeBlob("x"), InTime()).ok());
  EXPECT_THAT(of_service.Next(1), ElementsAre("nearcall.integration.Echo/High"));
  EXPECT_THAT(of_method.Next(1), ElementsAre("nearcall.integration.Echo/High"));
}

TEST_F(TraceTest, WhatHasNoMethodIsToldToo) {
  const auto server = StartServer();
  const auto channel = Connect();
  Trace trace(channel);
  EXPECT_FALSE(GenericStub(channel).Unary("no.Such/Method", Bytes(), InTime()).ok());
  const stats::v1::Call call = trace.Next();
  EXPECT_EQ(call.method(), "_OTHER");
  EXPECT_EQ(call.code(), static_cast<int>(StatusCode::kUnimplemented));
  EXPECT_TRUE(call.refused());
}

// All are told, or counted; and nobody waits for who does not read.
TEST_F(TraceTest, WhoIsSlowIsToldHowManyHeHasMissed) {
  constexpr uint64_t kCalls = 3000;
  const auto server = StartServer();
  Trace trace(Connect());
  const Echo::Stub stub = ConnectStub();
  for (uint64_t i = 0; i < kCalls; ++i) ASSERT_TRUE(stub.Say(MakeBlob("x"), InTime()).ok());
  uint64_t told = 0;
  while (told + trace.dropped() < kCalls) {
    ASSERT_EQ(trace.Next().method(), kSay);
    ++told;
  }
  EXPECT_GT(trace.dropped(), 0u);
  EXPECT_GT(told, 100u);
  // From then on all again.
  EXPECT_TRUE(stub.High(MakeBlob("x"), InTime()).ok());
  std::string next;
  do {
    next = trace.Next().method();
    told += next == kSay ? 1 : 0;
  } while (next == kSay);
  EXPECT_EQ(next, "nearcall.integration.Echo/High");
  EXPECT_EQ(told + trace.dropped(), kCalls);
}

TEST_F(TraceTest, ItEndsWhenTheServerShutsDown) {
  const auto server = StartServer();
  Trace trace(Connect());
  ASSERT_TRUE(trace.begun());
  server->Shutdown(kLong);
  EXPECT_EQ(trace.Next().method(), "");
  EXPECT_EQ(trace.Finish().code(), StatusCode::kUnavailable);
  server->Wait();
}

TEST_F(TraceTest, WhoGoesIsForgotten) {
  const auto server = StartServer();
  Must(ConnectStub().Say(MakeBlob("x"), InTime()));
  // More than there may be at a time: each has the place of one that the server has heard the end of.
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Eventually([&] { return Trace(Connect()).begun(); }));
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("x"), InTime()).ok());
}

// --- who may ---

TEST_F(TraceTest, AUserHasAFewAtMost) {
  const auto server = StartServer();
  const auto channel = Connect();
  std::vector<std::unique_ptr<Trace>> traces;
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(traces.emplace_back(std::make_unique<Trace>(channel))->begun());
  Trace one_more(channel);
  EXPECT_FALSE(one_more.begun());
  EXPECT_THAT(one_more.Finish(), FailsWith(StatusCode::kResourceExhausted, "8 traces of uid"));
}

TEST_F(TraceTest, WhoMayNotCallIsToldNothing) {
  const auto server = StartServer({.authorize = [](const PeerIdentity&, absl::string_view method) {
    return absl::EndsWith(method, "/Trace") ? absl::PermissionDeniedError("not you") : absl::OkStatus();
  }});
  Trace trace(Connect());
  EXPECT_FALSE(trace.begun());
  EXPECT_EQ(trace.Finish().code(), StatusCode::kPermissionDenied);
}

TEST_F(TraceTest, ANameThatIsTooLong) {
  const auto server = StartServer();
  Trace trace(Connect(), std::string(5000, 'x'));
  EXPECT_THAT(trace.Finish(), FailsWith(StatusCode::kInvalidArgument, "has 5000 B"));
}

TEST_F(TraceTest, AnotherUserIsToldOfItself) {
  NEEDS_OTHER_USERS();
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
  const std::string address = Address(MakeMeetingPlace(directory()) + "/meeting");
  Child stranger([&address](Link& parent) {
    BecomeStranger({});
    parent.Await();
    const auto channel = Must(Channel::Connect(address));
    Trace trace(channel);
    parent.Tell();
    parent.Await();
    Must(Echo::Stub(channel).High(MakeBlob("x"), InTime()));
    const stats::v1::Call call = trace.Next();
    parent.Tell(absl::StrCat(call.method(), " of uid ", call.uid()));
  });
  const auto server = IntegrationTest::StartServer(
      {.allowed_uids = {0, kStranger}, .blockable_transports_for_other_users = true}, address);
  const auto channel = Connect({}, address);
  Trace all(channel);
  stranger.link().Tell();
  stranger.link().Await();
  Must(Echo::Stub(channel).Say(MakeBlob("x"), InTime()));
  EXPECT_THAT(all.Next(1), ElementsAre(kSay)) << "it has ended";
  stranger.link().Tell();
  EXPECT_EQ(stranger.link().Await(), absl::StrCat("nearcall.integration.Echo/High of uid ", kStranger));
  EXPECT_EQ(all.Next().uid(), kStranger) << "the server's own user and root are told all";
}

}  // namespace
}  // namespace nearcall::integration
