// SPDX-License-Identifier: Apache-2.0

// Who may call: groups, the socket's mode and group, and ServerOptions::authorize for each call.
#include <grp.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"
#include "meeting_place.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// --- groups ---

constexpr gid_t kGroup = 777;

class GroupTest : public IntegrationTest {
 protected:
  void SetUp() override {
    NEEDS_OTHER_USERS();
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
    // Where different users meet.
    address_ = Address(MakeMeetingPlace(directory()) + "/meeting");
  }

  // What a stranger gets who is of `group` and calls once, when it is told to. Before any thread.
  std::unique_ptr<Child> ClientOf(gid_t group) {
    return std::make_unique<Child>([this, group](Link& parent) {
      BecomeStranger({group});
      parent.Await();
      const auto channel = Channel::Connect(address_);
      const absl::Status status = channel.ok() ? Echo::Stub(*channel).Say(MakeBlob("")).status() : channel.status();
      parent.Tell(status.ToString());
    });
  }

  static std::string Answer(Child& client) {
    client.link().Tell();
    return client.link().Await();
  }

  std::string address_;
};

TEST_F(GroupTest, AMemberIsServedAndNamed) {
  PeerIdentity peer{};
  Event served;  // the client is another process, which orders nothing here
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    if (!served.is_set()) peer = context.peer();
    served.Set();
    return absl::OkStatus();
  };
  const auto member = ClientOf(kGroup);
  const auto other = ClientOf(kGroup + 1);
  const auto server = StartServer({.blockable_transports_for_other_users = true, .allowed_gids = {kGroup}}, address_);
  EXPECT_EQ(Answer(*member), "OK");
  served.Wait();
  EXPECT_EQ(peer.uid, kStranger);
  EXPECT_THAT(peer.groups, ::testing::ElementsAre(kGroup));
  const std::string refused = Answer(*other);
  EXPECT_THAT(refused, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(refused, ::testing::HasSubstr("does not serve uid 12345 of gid 12345 and groups 778"));
  EXPECT_THAT(refused, ::testing::HasSubstr("or a group of it to allowed_gids"));
  EXPECT_TRUE(ConnectStub({}, address_).Say(MakeBlob("")).ok()) << "its own user as ever";
}

TEST_F(GroupTest, WhoIsNoMemberOfTheSocketsGroupDoesNotGetToTheServer) {
  const auto member = ClientOf(kGroup);
  const auto other = ClientOf(kGroup + 1);
  const auto server = StartServer(
      {.allowed_uids = {kStranger}, .blockable_transports_for_other_users = true, .socket_group = kGroup}, address_);
  EXPECT_EQ(Answer(*member), "OK");
  const std::string refused = Answer(*other);
  EXPECT_THAT(refused, ::testing::StartsWith("PERMISSION_DENIED"));
  EXPECT_THAT(refused, ::testing::HasSubstr(address_.substr(address_.find('/'))));
  EXPECT_FALSE(log.Has("turned away"));
}

// --- each call ---

class AuthorizeTest : public StreamTest {
 protected:
  using Rule = std::function<absl::Status(const PeerIdentity& peer, absl::string_view method)>;

  // Serves with `rule`.
  std::unique_ptr<Server> StartServer(Rule rule) {
    return StreamTest::StartServer(
        {.authorize = [this, rule = std::move(rule)](const PeerIdentity& peer, absl::string_view method) {
          ++asked_;
          return rule(peer, method);
        }});
  }

  // Of each kind and style, how a call ends.
  static std::vector<absl::Status> CallAll(const std::shared_ptr<Channel>& channel) {
    const Echo::Stub stub(channel);
    const Streams::Stub stream_stub(channel);
    std::vector<absl::Status> ends;
    ends.push_back(stub.Say(MakeBlob("x"), InTime()).status());
    ends.push_back(stub.Say(MakeBlob(std::string(100'000, 'x')), InTime()).status());
    ends.push_back(stub.MayBlock(MakeBlob("x"), InTime()).status());
    std::promise<absl::Status> end;
    Echo::AsyncStub(channel).Say(
        MakeBlob("x"), [&end](const absl::StatusOr<Blob>& reply) { end.set_value(reply.status()); }, InTime());
    ends.push_back(end.get_future().get());
    ends.push_back(stream_stub.Down(MakeBlob("3"), InTime())->Finish());
    ends.push_back(stream_stub.Up(InTime())->Finish().status());
    const auto chat = stream_stub.Chat(InTime());
    chat->Write(MakeBlob("x"));
    ends.push_back(chat->Finish());
    return ends;
  }

  std::atomic<size_t> asked_{0};
};

TEST_F(AuthorizeTest, IsAskedForCallsOfAllKinds) {
  std::vector<std::string> methods;
  const auto server = StartServer([&](const PeerIdentity& peer, absl::string_view method) {
    EXPECT_EQ(peer.pid, KnownPid(::getpid()));
    EXPECT_EQ(peer.uid, ::geteuid());
    methods.emplace_back(method);
    return absl::OkStatus();
  });
  for (const absl::Status& end : CallAll(Connect())) EXPECT_TRUE(end.ok()) << end;
  const std::string package = "nearcall.integration.";
  EXPECT_THAT(methods, ::testing::ElementsAre(package + "Echo/Say", package + "Echo/Say", package + "Echo/MayBlock",
                                              package + "Echo/Say", package + "Streams/Down", package + "Streams/Up",
                                              package + "Streams/Chat"));
}

TEST_F(AuthorizeTest, WhatItRefusesNoHandlerSees) {
  echo.say = echo.may_block = [](ServerContext&, const Blob&, Blob&) {
    ADD_FAILURE() << "a handler ran";
    return absl::OkStatus();
  };
  streams.chat = [](ServerContext&, ChatStream&) {
    ADD_FAILURE() << "a handler ran";
    return absl::OkStatus();
  };
  std::atomic<bool> may{false};
  const auto server = StartServer([&](const PeerIdentity&, absl::string_view method) {
    return may ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("nobody may call ", method));
  });
  const auto channel = Connect();
  for (const absl::Status& end : CallAll(channel)) {
    EXPECT_THAT(end, FailsWith(StatusCode::kPermissionDenied, "nobody may call nearcall.integration."));
    EXPECT_EQ(ExecStateOf(end), ExecState::kNotStarted);
  }
  EXPECT_EQ(asked_, 7u);
  EXPECT_EQ(NumberIn(server->DebugString(), "started: "), 0u);
  may = true;
  EXPECT_TRUE(Streams::Stub(channel).Down(MakeBlob("3"), InTime())->Finish().ok()) << "over the same connection";
  EXPECT_EQ(ConnectionCount(*server), 1u);
}

// What a server says that goes away: the channel calls again, over another connection.
TEST_F(AuthorizeTest, UnavailableIsNoReasonToCallAgain) {
  const auto server =
      StartServer([](const PeerIdentity&, absl::string_view) { return absl::UnavailableError("not today"); });
  const auto channel = Connect();
  for (const absl::Status& end : CallAll(channel)) {
    EXPECT_THAT(end, FailsWith(StatusCode::kUnavailable, "not today"));
    EXPECT_EQ(ExecStateOf(end), ExecState::kMaybeExecuted);
  }
  EXPECT_EQ(asked_, 7u);
  EXPECT_EQ(channel->state(), ChannelState::kReady);
}

// Asked of somebody else, it may take a while.
TEST_F(AuthorizeTest, WhileItTakesItsTimeOthersAreServed) {
  Event asked;
  Event decided;
  const auto server = StartServer([&](const PeerIdentity&, absl::string_view method) {
    if (absl::EndsWith(method, "/Say")) {
      asked.Set();
      decided.Wait();
    }
    return absl::OkStatus();
  });
  const Echo::Stub stub = ConnectStub();
  Pending slow = SayAsync(stub, "x", InTime());
  asked.Wait();
  const Echo::Stub other = ConnectStub();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(other.Low(MakeBlob("x"), InTime()).ok());
  EXPECT_TRUE(stub.Low(MakeBlob("x"), InTime()).ok());
  decided.Set();
  EXPECT_TRUE(slow.get().ok());
}

TEST_F(AuthorizeTest, IsNotAskedForAMethodThatIsNotThere) {
  const auto server = StartServer([](const PeerIdentity&, absl::string_view) { return absl::OkStatus(); });
  EXPECT_THAT(Second::Stub(Connect()).Nothing(MakeBlob("x"), InTime()).status(),
              FailsWith(StatusCode::kUnimplemented, "nearcall.integration.Second/Nothing"));
  EXPECT_EQ(asked_, 0u);
}

}  // namespace
}  // namespace nearcall::integration
