// SPDX-License-Identifier: Apache-2.0

// A handler's own calls: as urgent as the one that it serves, in what is left of its time, and cancelled with it.
#include <stop_token>

#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class NestedCallTest : public IntegrationTest {
 protected:
  // `Say` calls `MayBlock` of the same server.
  void SayCallsMayBlock() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      Echo::Stub stub = ConnectStub();
      nested = stub.MayBlock(request, &reply, CallOptions::FromServer(context));
      ended.Set();
      return nested;
    };
  }

  absl::Status nested;
  Event ended;
};

TEST_F(NestedCallTest, HasThePriorityAndTheDeadline) {
  Priority priority = Priority::kLow;
  absl::Duration left;
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    priority = context.priority();
    left = context.deadline() - absl::Now();
    EXPECT_EQ(context.method(), "nearcall.integration.Echo/MayBlock");
    return absl::OkStatus();
  };
  SayCallsMayBlock();
  const auto server = StartServer();
  ASSERT_TRUE(ConnectStub().Say(MakeBlob(""), {.timeout = kLong, .priority = Priority::kHigh}).ok());
  EXPECT_EQ(priority, Priority::kHigh);
  EXPECT_LE(left, kLong);
  EXPECT_GT(left, absl::ZeroDuration());
}

// https://www.w3.org/TR/trace-context/
TEST_F(NestedCallTest, BelongsToTheSameTrace) {
  const Metadata trace = {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
                          {"tracestate", "a=1"},
                          {"tracestate", "b=2"}};
  Metadata seen;
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    seen = context.client_metadata();
    return absl::OkStatus();
  };
  SayCallsMayBlock();
  const auto server = StartServer();
  Metadata sent = trace;
  sent.Add("token", "is for one server");
  ASSERT_TRUE(ConnectStub().Say(MakeBlob(""), {.metadata = sent}).ok());
  EXPECT_EQ(seen, trace);
}

TEST_F(NestedCallTest, HasNoDeadlineWhereTheOuterOneHasNone) {
  absl::Time deadline;
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    deadline = context.deadline();
    return absl::OkStatus();
  };
  SayCallsMayBlock();
  const auto server = StartServer();
  ASSERT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
  EXPECT_EQ(deadline, absl::InfiniteFuture());
}

TEST_F(NestedCallTest, IsCancelledWithTheOuterOne) {
  Event began;
  Event cancelled;
  echo.may_block = [&](ServerContext& context, const Blob&, Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    began.Set();
    cancelled.Wait();
    return absl::OkStatus();
  };
  SayCallsMayBlock();
  const auto server = StartServer();
  std::stop_source stop;
  Pending call = SayAsync(ConnectStub(), "", {.stop_token = stop.get_token()});
  began.Wait();
  stop.request_stop();
  EXPECT_EQ(call.get().status().code(), StatusCode::kCancelled);
  ended.Wait();
  EXPECT_EQ(nested.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace nearcall::integration
