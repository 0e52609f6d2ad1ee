// SPDX-License-Identifier: Apache-2.0

// nearcall/testing.h: what users test their handlers and callers with.
#include "nearcall/testing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "echo.nearcall.pb.h"
#include "nearcall/exec_state.h"
#include "support/scoped_env.h"
#include "support/temporary_directory.h"

namespace nearcall {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

class EchoImpl final : public demo::Echo::Service {
 public:
  std::atomic<int> calls = 0;

  absl::Status Say(ServerContext&, const demo::Request& request, demo::Reply& reply) override {
    ++calls;
    reply.set_text(request.text());
    return absl::OkStatus();
  }
  absl::Status Shout(ServerContext& context, const demo::Request& request, demo::Reply& reply) override {
    return Say(context, request, reply);
  }
};

class TestServerTest : public ::testing::Test {
 protected:
  absl::Status Say(const CallOptions& options = {}) const { return stub_.Say(request_, options).status(); }

  EchoImpl echo_;
  nearcall::testing::TestServer server_{{&echo_}};
  demo::Echo::Stub stub_{server_.channel()};
  demo::Request request_;
};

TEST_F(TestServerTest, AHandlerInThreeLines) {
  EchoImpl echo;
  nearcall::testing::TestServer server({&echo});
  const absl::StatusOr<demo::Reply> reply = demo::Echo::Stub(server.channel()).Say(request_);
  EXPECT_TRUE(reply.ok()) << reply.status();
}

TEST_F(TestServerTest, HasAnAddressForWhoConnectsByHimself) {
  const auto channel = Channel::Connect(server_.address());
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_TRUE(demo::Echo::Stub(*channel).Say(request_).ok());
}

TEST_F(TestServerTest, LeavesNothing) {
  std::filesystem::path place;
  {
    nearcall::testing::TestServer server({&echo_});
    place = server.address();
    EXPECT_TRUE(std::filesystem::exists(place));
  }
  EXPECT_FALSE(std::filesystem::exists(place.parent_path()));
}

TEST_F(TestServerTest, AFaultIsAnsweredInPlaceOfTheHandler) {
  server_.faults().Add({.status = absl::UnavailableError("busy"), .times = 2});
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = Say();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    EXPECT_EQ(status.message(), "busy");
  }
  EXPECT_EQ(echo_.calls, 0);
  EXPECT_TRUE(Say().ok());
  EXPECT_EQ(server_.faults().injected(), 2u);
}

TEST_F(TestServerTest, AFaultIsForItsMethodAlone) {
  server_.faults().Add({.method = "demo.Echo/Shout", .status = absl::DataLossError("gone")});
  EXPECT_TRUE(Say().ok());
  EXPECT_EQ(stub_.Shout(request_).status().code(), StatusCode::kDataLoss);
  server_.faults().Clear();
  EXPECT_TRUE(stub_.Shout(request_).ok());
}

TEST_F(TestServerTest, ADelayIsLongerThanADeadline) {
  server_.faults().Add({.delay = absl::Hours(1), .times = 1});
  EXPECT_EQ(Say({.timeout = absl::Milliseconds(10)}).code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Say().ok());
}

TEST_F(TestServerTest, AfterADelayTheHandlerRuns) {
  server_.faults().Add({.delay = absl::Milliseconds(1)});
  EXPECT_TRUE(Say().ok());
  EXPECT_EQ(echo_.calls, 1);
}

TEST_F(TestServerTest, AServerThatDiesComesBack) {
  server_.faults().Add({.death = true, .times = 1});
  const absl::Status died = Say();
  EXPECT_EQ(died.code(), StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(died), ExecState::kMaybeExecuted);
  EXPECT_EQ(Say().code(), StatusCode::kUnavailable);
  EXPECT_EQ(echo_.calls, 0);
  server_.Restart();
  EXPECT_TRUE(Say().ok());
}

TEST_F(TestServerTest, KillsWhatRuns) {
  server_.Kill();
  EXPECT_EQ(Say().code(), StatusCode::kUnavailable);
  server_.Restart();
  EXPECT_TRUE(Say({.timeout = absl::Seconds(30), .wait_for_ready = true}).ok());
}

TEST_F(TestServerTest, TakesOptions) {
  std::atomic<int> asked = 0;
  const auto authorize = [&](const PeerIdentity&, absl::string_view) {
    ++asked;
    return absl::OkStatus();
  };
  nearcall::testing::TestServer server({&echo_}, {.authorize = authorize}, {.max_message_size = 100});
  const demo::Echo::Stub stub(server.channel());
  EXPECT_TRUE(stub.Say(request_).ok());
  EXPECT_EQ(asked, 1);
  request_.set_text(std::string(200, 'x'));
  EXPECT_EQ(stub.Say(request_).status().code(), StatusCode::kResourceExhausted);
}

TEST(TestServerDeathTest, WhatCannotBeStartedIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const testing::TemporaryDirectory directory;
  const testing::ScopedEnv within("TMPDIR", directory.path().c_str());
  EXPECT_DEATH(nearcall::testing::TestServer({nullptr}), HasSubstr("TestServer: INVALID_ARGUMENT"));
}

}  // namespace
}  // namespace nearcall
