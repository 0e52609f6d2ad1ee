// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/blocking_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "rpc/client/call_head.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"
#include "wire/envelope.h"

namespace nearcall::rpc {
namespace {

using session::testing::Received;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::HasSubstr;
using testing::MakeBytes;
using Kind = transport::ControlMessage::Kind;

constexpr size_t kClientsLimit = 2000;
constexpr uint32_t kServersLimit = 1000;
constexpr int64_t kMs = 1'000'000;

constexpr internal::MethodInfo kMethod =
    internal::MakeMethod("test.Service/Do", internal::MethodKind::kUnary, Priority::kHigh, 0, false);
constexpr internal::MethodInfo kMethodOf10Ms =
    internal::MakeMethod("test.Service/Quick", internal::MethodKind::kUnary, Priority::kNormal, 10 * kMs, false);

// --- how much time a call has ---

class DeadlineTest : public ::testing::Test {
 protected:
  // The time left of a call that starts now, in milliseconds; -1: for ever.
  static double LeftMs(const CallOptions& options, const internal::MethodInfo& method = kMethod) {
    const base::SteadyNs before = base::NowNs();
    const BlockingCall call(method, options, kClientsLimit);
    if (call.deadline() == base::kNever) return -1;
    return static_cast<double>(call.deadline() - before) / kMs;
  }

  // Whether the call ends before it is sent.
  static absl::StatusCode Prepared(const CallOptions& options) {
    return BlockingCall(kMethod, options, kClientsLimit).Prepare(Bytes()).code();
  }
};

TEST_F(DeadlineTest, WithoutAnyThereIsNone) {
  EXPECT_EQ(LeftMs({}), -1);
  EXPECT_EQ(Prepared({}), absl::StatusCode::kOk);
}

TEST_F(DeadlineTest, TheMethodsDefaultIsUsed) {
  EXPECT_NEAR(LeftMs({}, kMethodOf10Ms), 10, 1000);
}

TEST_F(DeadlineTest, WhatTheCallSaysReplacesTheMethodsDefault) {
  EXPECT_NEAR(LeftMs({.timeout = absl::Seconds(50)}, kMethodOf10Ms), 50'000, 1000);
  EXPECT_NEAR(LeftMs({.deadline = absl::Now() + absl::Seconds(50)}, kMethodOf10Ms), 50'000, 1000);
  EXPECT_EQ(LeftMs({.timeout = absl::InfiniteDuration()}, kMethodOf10Ms), -1);
  EXPECT_EQ(LeftMs({.deadline = absl::InfiniteFuture()}, kMethodOf10Ms), -1);
}

TEST_F(DeadlineTest, TheEarlierOfTimeoutAndDeadlineCounts) {
  EXPECT_NEAR(LeftMs({.timeout = absl::Seconds(10), .deadline = absl::Now() + absl::Seconds(50)}), 10'000, 1000);
  EXPECT_NEAR(LeftMs({.timeout = absl::Seconds(50), .deadline = absl::Now() + absl::Seconds(10)}), 10'000, 1000);
  EXPECT_NEAR(LeftMs({.timeout = absl::InfiniteDuration(), .deadline = absl::Now() + absl::Seconds(10)}), 10'000, 1000);
  EXPECT_NEAR(LeftMs({.timeout = absl::Seconds(10), .deadline = absl::InfiniteFuture()}), 10'000, 1000);
}

TEST_F(DeadlineTest, EndlessIsEndless) {
  EXPECT_EQ(LeftMs({.timeout = absl::InfiniteDuration(), .deadline = absl::InfiniteFuture()}), -1);
  EXPECT_EQ(LeftMs({.timeout = absl::Hours(24 * 365 * 1000)}), -1) << "beyond the clock's range";
}

TEST_F(DeadlineTest, WhatHasPassedEndsTheCallBeforeItIsSent) {
  for (const CallOptions& options :
       {CallOptions{.timeout = absl::ZeroDuration()}, CallOptions{.timeout = absl::Seconds(-1)},
        CallOptions{.timeout = -absl::InfiniteDuration()}, CallOptions{.deadline = absl::InfinitePast()},
        CallOptions{.deadline = absl::Now() - absl::Seconds(1)}, CallOptions{.deadline = absl::UnixEpoch()},
        CallOptions{.timeout = absl::Seconds(9), .deadline = absl::InfinitePast()}}) {
    EXPECT_EQ(Prepared(options), absl::StatusCode::kDeadlineExceeded);
  }
}

// On the wire 0 would mean none. The deadline may pass between the look at it and the header.
TEST_F(DeadlineTest, AHeaderWithoutTimeLeftDoesNotSayForEver) {
  const CallOptions none_left = {.timeout = absl::ZeroDuration()};
  EXPECT_EQ(CallHead(kMethod, none_left, kClientsLimit).Header(1).time_left_ns, 1u);
  const CallOptions for_ever = {};
  EXPECT_EQ(CallHead(kMethod, for_ever, kClientsLimit).Header(1).time_left_ns, 0u);
}

// --- what can be wrong before a connection is needed ---

class PrepareTest : public ::testing::Test {
 protected:
  static absl::Status Prepare(const CallOptions& options, const Bytes& request = {}) {
    const absl::Status status = BlockingCall(kMethod, options, kClientsLimit).Prepare(request);
    if (!status.ok()) {
      EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
    }
    return status;
  }
};

TEST_F(PrepareTest, AnImpossiblePriority) {
  EXPECT_EQ(Prepare({.priority = static_cast<Priority>(4)}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PrepareTest, ForbiddenMetadata) {
  EXPECT_EQ(Prepare({.metadata = {{"Upper", ""}}}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PrepareTest, TooMuchMetadata) {
  EXPECT_EQ(Prepare({.metadata = {{"k-bin", std::string(1 << 20, 'x')}}}).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PrepareTest, ATooLargeRequest) {
  const absl::Status status = Prepare({}, MakeBytes(std::string(kClientsLimit, 'x')));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("test.Service/Do"), HasSubstr("2003 B"), HasSubstr("2000 B")));
}

TEST_F(PrepareTest, AStopThatWasRequestedBefore) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Prepare({.stop_token = stop.get_token()}).code(), absl::StatusCode::kCancelled);
}

TEST_F(PrepareTest, ForgetsTheResponseMetadataOfTheLastCall) {
  ResponseMetadata metadata = {.initial = {{"a", "1"}}, .trailing = {{"b", "2"}}};
  EXPECT_TRUE(Prepare({.response_metadata = &metadata}).ok());
  EXPECT_TRUE(metadata.initial.empty());
  EXPECT_TRUE(metadata.trailing.empty());
}

// --- a call ---

class BlockingCallTest : public ::testing::Test {
 protected:
  BlockingCallTest() {
    session::testing::Link link =
        session::testing::MakeLink({.max_frame_size = 128, .capacity_frames = 2, .max_message_size = kServersLimit});
    session_ = *session::ClientSession::Start(
        std::move(link.client),
        {.max_message_size = kClientsLimit, .max_calls_in_flight = 8, .max_queued_bytes = 1 << 20, .max_spin_ns = 0},
        std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {}), "loop:test");
    server_.emplace(std::move(link.server));
  }

  // A call that the server answers with what `answer` sends. `reply_` is the reply.
  template <typename Answer>
  absl::Status Call(const Bytes& request, const CallOptions& options, Answer&& answer) {
    absl::Status status;
    std::thread caller([&] { status = CallAlone(request, options); });
    const auto received = server_->Receive();
    EXPECT_TRUE(received);
    if (received) answer(*received);
    caller.join();
    return status;
  }

  absl::Status CallAlone(const Bytes& request, const CallOptions& options) {
    BlockingCall call(kMethod, options, kClientsLimit);
    if (absl::Status prepared = call.Prepare(request); !prepared.ok()) return prepared;
    return call.Run(*session_, request, &reply_);
  }

  void Reply(const Received& request, const wire::ReplyEnvelope& reply, const std::string& payload) {
    wire::FrameHeader header = server_->ReplyTo(request);
    const std::string envelope = *wire::EncodeReplyEnvelope(reply);
    header.status = static_cast<uint8_t>(reply.status.code());
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    if (!envelope.empty()) header.flags |= wire::kEnvelope;
    server_->SendSome(header, envelope + payload);
  }

  std::shared_ptr<session::ClientSession> session_;
  std::optional<session::testing::ScriptedPeer> server_;
  Bytes reply_;
};

TEST_F(BlockingCallTest, RequestsAndRepliesOfEverySizeArrive) {
  for (const size_t size : {0u, 1u, 50u, 70u, 72u, 73u, 200u, 900u}) {
    const Bytes request = MakeBytes(std::string(size, 'q'));
    const Bytes expected = MakeBytes(std::string(2 * size, 'r'));
    const absl::Status status = Call(request, {}, [&](const Received& received) {
      EXPECT_EQ(received.payload, request.SerializeAsString());
      Reply(received, {}, expected.SerializeAsString());
      server_->SendRest();
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(reply_.value(), expected.value());
  }
}

TEST_F(BlockingCallTest, TheHeaderSaysWhatTheOptionsSay) {
  const CallOptions options = {.timeout = absl::Seconds(100),
                               .priority = Priority::kLow,
                               .metadata = {{"k", "v"}},
                               .when_full = WhenFull::kFailFast};
  EXPECT_TRUE(Call(MakeBytes("x"), options, [&](const Received& received) {
                EXPECT_EQ(received.header.kind, wire::FrameKind::kRequest);
                EXPECT_EQ(received.header.method_id, kMethod.id);
                EXPECT_EQ(received.header.priority, 0);
                EXPECT_TRUE(received.header.has(wire::kEnd));
                EXPECT_NEAR(static_cast<double>(received.header.time_left_ns), 100e9, 10e9);
                const size_t size = received.header.envelope_size;
                const auto metadata =
                    wire::DecodeMetadataEnvelope(session::testing::AsBytes(received.payload).first(size));
                ASSERT_TRUE(metadata.ok());
                EXPECT_EQ(*metadata, options.metadata);
                EXPECT_EQ(received.payload.substr(size), MakeBytes("x").SerializeAsString());
                Reply(received, {}, "");
              }).ok());
}

TEST_F(BlockingCallTest, WithoutOptionsTheMethodDecides) {
  EXPECT_TRUE(Call(MakeBytes("x"), {}, [&](const Received& received) {
                EXPECT_EQ(received.header.priority, static_cast<uint8_t>(Priority::kHigh));
                EXPECT_EQ(received.header.time_left_ns, 0u);
                EXPECT_EQ(received.header.envelope_size, 0u);
                Reply(received, {}, "");
              }).ok());
}

TEST_F(BlockingCallTest, MetadataComesBackWithTheReply) {
  ResponseMetadata metadata;
  const absl::Status status = Call({}, {.response_metadata = &metadata}, [&](const Received& received) {
    Reply(received, {.initial = {{"a", "1"}}, .trailing = {{"b", "2"}}}, MakeBytes("ok").SerializeAsString());
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(metadata.initial, (Metadata{{"a", "1"}}));
  EXPECT_EQ(metadata.trailing, (Metadata{{"b", "2"}}));
  EXPECT_EQ(reply_.value(), "ok");
}

TEST_F(BlockingCallTest, AnErrorComesBackWithDetailsAndMetadata) {
  ResponseMetadata metadata;
  absl::Status error = absl::NotFoundError("no such thing");
  error.SetPayload("type.test/detail", absl::Cord("more"));
  const absl::Status status = Call({}, {.response_metadata = &metadata}, [&](const Received& received) {
    Reply(received, {.trailing = {{"b", "2"}}, .status = error, .exec_state = ExecState::kNotStarted}, "");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no such thing");
  EXPECT_EQ(status.GetPayload("type.test/detail"), absl::Cord("more"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  EXPECT_EQ(metadata.trailing, (Metadata{{"b", "2"}}));
}

TEST_F(BlockingCallTest, UnimplementedGetsTheMethodsName) {
  const absl::Status status = Call({}, {}, [&](const Received& received) {
    Reply(received, {.status = absl::UnimplementedError(""), .exec_state = ExecState::kNotStarted}, "");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("test.Service/Do"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
}

TEST_F(BlockingCallTest, AReplyThatDoesNotParseIsInternal) {
  const absl::Status status = Call({}, {}, [&](const Received& received) { Reply(received, {}, "\xff\xff\xff"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("test.Service/Do"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
  EXPECT_EQ(reply_.value(), "");
}

// See ServerCallTest.
TEST_F(BlockingCallTest, ADeeplyNestedReplyIsInternal) {
  const auto reply_of = [this](size_t depth) {
    return Call({}, {}, [&](const Received& received) {
      Reply(received, {}, testing::NestedGroups(depth));
      server_->SendRest();
    });
  };
  EXPECT_EQ(reply_of(90).code(), absl::StatusCode::kOk);
  const absl::Status refused = reply_of(110);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(refused.message(), HasSubstr("does not parse"));
}

TEST_F(BlockingCallTest, AnEnvelopeThatDoesNotParseIsInternal) {
  const absl::Status status = Call({}, {}, [&](const Received& received) {
    wire::FrameHeader header = server_->ReplyTo(received);
    header.flags |= wire::kEnvelope;
    header.envelope_size = 2;
    server_->SendSome(header, "\xff\xff");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
}

TEST_F(BlockingCallTest, ARequestThatTheServerWouldNotTakeIsNotSent) {
  const absl::Status status = CallAlone(MakeBytes(std::string(kServersLimit, 'x')), {});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("1003 B"), HasSubstr("ServerOptions::max_message_size")));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(BlockingCallTest, AStopRequestEndsTheCallAndTellsTheServer) {
  std::stop_source stop;
  uint64_t call_id = 0;
  const absl::Status status = Call({}, {.stop_token = stop.get_token()}, [&](const Received& received) {
    call_id = received.header.call_id;
    stop.request_stop();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  const auto control = server_->ReceiveControl();
  ASSERT_TRUE(control);
  EXPECT_EQ(control->kind, Kind::kCancel);
  EXPECT_EQ(control->call_id, call_id);
}

TEST_F(BlockingCallTest, AStopRequestWhileTheCallEndsIsHarmless) {
  for (int i = 0; i < 100; ++i) {
    std::stop_source stop;
    std::thread stopper;
    const absl::Status status = Call({}, {.stop_token = stop.get_token()}, [&](const Received& received) {
      stopper = std::thread([&] { stop.request_stop(); });
      Reply(received, {}, "");
    });
    stopper.join();
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kCancelled) << status;
  }
}

TEST_F(BlockingCallTest, ADeadlineEndsTheCall) {
  const absl::Status status = CallAlone({}, {.timeout = absl::Milliseconds(5)});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
}

}  // namespace
}  // namespace nearcall::rpc
