// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/incoming_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/limits.h"
#include "unit/rpc/incoming_call_fixture.h"
#include "unit/rpc/server_end.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using testing::Answer;
using testing::Bytes;
using testing::ClientRequest;
using ::testing::Each;
using testing::FakeService;
using ::testing::HasSubstr;
using testing::MakeBytes;
using ::testing::Not;
using ::testing::SizeIs;
using Kind = transport::ControlMessage::Kind;

// --- answers ---

TEST_F(ServerCallTest, AHandlersReplyIsSent) {
  service_.handler = [](ServerContext&, const Bytes& request, Bytes& reply) {
    reply.set_value("re: " + request.value());
    return absl::OkStatus();
  };
  const auto answer = Run(MakeRequest("hello"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->value(), "re: hello");
  EXPECT_EQ(answer->header.call_id, 1u);
  EXPECT_EQ(answer->header.method_id, service_.method().id);
  EXPECT_EQ(answer->header.kind, wire::FrameKind::kReply);
  EXPECT_EQ(answer->header.priority, static_cast<uint8_t>(Priority::kNormal));
  EXPECT_EQ(answer->header.envelope_size, 0u) << "nothing to say, nothing sent";
  EXPECT_EQ(core_.calls_started, 1u);
}

TEST_F(ServerCallTest, AHandlersErrorIsSentWithoutItsReply) {
  service_.handler = [](ServerContext&, const Bytes&, Bytes& reply) {
    reply.set_value("half done");
    absl::Status status = absl::NotFoundError("no such thing");
    status.SetPayload("type.test/detail", absl::Cord("more"));
    return status;
  };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(answer->text(), "no such thing");
  EXPECT_EQ(answer->envelope.status.GetPayload("type.test/detail"), absl::Cord("more"));
  EXPECT_EQ(answer->exec_state(), ExecState::kExecuted);
  EXPECT_EQ(answer->payload, "");
}

TEST_F(ServerCallTest, AnExceptionIsUnknownWithoutItsText) {
  service_.handler = [](ServerContext&, const Bytes&, Bytes&) -> absl::Status { throw std::runtime_error("secret"); };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(answer->text(), AllOf(HasSubstr("test.Service/Do"), Not(HasSubstr("secret"))));
  EXPECT_EQ(answer->exec_state(), ExecState::kExecuted);
  core_.logger->Flush();
  EXPECT_THAT(log_.all(), AllOf(SizeIs(1), Each(HasSubstr("test.Service/Do"))));
}

TEST_F(ServerCallTest, AReplyThatTheServerMayNotSendIsAnError) {
  service_.handler = [](ServerContext& context, const Bytes&, Bytes& reply) {
    context.trailing_metadata().Add("k", "v");
    reply.set_value(std::string(kClientLimit, 'x'));
    return absl::OkStatus();
  };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(answer->text(), HasSubstr("500 B"));
  EXPECT_EQ(answer->exec_state(), ExecState::kExecuted);
}

TEST_F(ServerCallTest, ADeferredCallIsAnsweredOnce) {
  const auto call = end_.SendAndRead(MakeRequest());
  std::unique_ptr<internal::PendingAnswer> pending = call->Defer();
  pending->Finish(absl::OkStatus(), MakeBytes("once"));
  pending->Finish(absl::OkStatus(), MakeBytes("twice"));
  pending.reset();
  EXPECT_EQ(end_.session().outbox().frames_sent(), 1u);
  const auto answer = end_.TakeAnswer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->value(), "once");
  EXPECT_TRUE(call->Drop()) << "the test has it alone";
  call->Reset();
}

// --- refusals ---

TEST_F(ServerCallTest, AMethodThatIsNotThereIsUnimplemented) {
  ClientRequest request = MakeRequest();
  request.method_id = 12345;
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_EQ(answer->header.method_id, 12345u);
  EXPECT_EQ(core_.calls_refused, 1u);
}

TEST_F(ServerCallTest, ARequestThatDoesNotParseIsInternal) {
  ExpectThatTheHandlerDoesNotRun();
  ClientRequest request = MakeRequest();
  request.payload = "\xff\xff\xff";
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_THAT(answer->text(),
              AllOf(HasSubstr("test.Service/Do"), HasSubstr("3 B"), HasSubstr("google.protobuf.BytesValue")));
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
}

// Parsing one takes a bit of stack for each level: protobuf's limit (100) stands between a client and our stack.
TEST_F(ServerCallTest, ADeeplyNestedRequestIsInternal) {
  ClientRequest request = MakeRequest();
  request.payload = testing::NestedGroups(90);
  const auto taken = Run(request);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->code(), absl::StatusCode::kOk);
  ExpectThatTheHandlerDoesNotRun();
  request.call_id = 2;
  request.payload = testing::NestedGroups(110);
  const auto refused = Run(request);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), absl::StatusCode::kInternal);
  EXPECT_THAT(refused->text(), HasSubstr("does not parse"));
}

TEST_F(ServerCallTest, AnEnvelopeThatDoesNotParseIsInternal) {
  ExpectThatTheHandlerDoesNotRun();
  ClientRequest request = MakeRequest();
  request.raw_envelope = "\xff\xff";
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
}

TEST_F(ServerCallTest, AnExpiredCallDoesNotStart) {
  ExpectThatTheHandlerDoesNotRun();
  ClientRequest request = MakeRequest();
  request.time_left_ns = kMsNs;
  const auto answer = Run(request, base::NowNs() - 2 * static_cast<int64_t>(kMsNs));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_EQ(core_.calls_started, 0u);
}

TEST_F(ServerCallTest, ACancelledCallDoesNotStart) {
  ExpectThatTheHandlerDoesNotRun();
  const auto call = end_.SendAndRead(MakeRequest());
  call->MarkCancelled();
  call->Run();
  const auto answer = end_.TakeAnswer();
  call->Reset();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
}

TEST_F(ServerCallTest, AnAnswerAfterTheDeadlineIsDeadlineExceeded) {
  ClientRequest request = MakeRequest();
  request.time_left_ns = 20 * kMsNs;
  service_.handler = [](ServerContext& context, const Bytes&, Bytes& reply) {
    while (!context.IsCancelled()) std::this_thread::yield();
    reply.set_value("too late");
    return absl::OkStatus();
  };
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(answer->exec_state(), ExecState::kExecuted);
}

TEST_F(ServerCallTest, ADeadConnectionGetsNoAnswer) {
  const auto call = end_.SendAndRead(MakeRequest());
  end_.session().HangUp();
  call->Run();
  call->Reset();
  EXPECT_EQ(end_.session().outbox().frames_sent(), 0u);
  EXPECT_EQ(core_.calls_started, 0u) << "nobody waits for it";
}

// --- metadata ---

TEST_F(ServerCallTest, MetadataGoesBothWays) {
  OnCall([](ServerContext& context) {
    EXPECT_EQ(context.client_metadata(), (Metadata{{"in", "1"}, {"in", "2"}}));
    context.initial_metadata().Add("first", "f");
    context.trailing_metadata().Add("last", "l");
  });
  ClientRequest request = MakeRequest();
  request.metadata = {{"in", "1"}, {"in", "2"}};
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->envelope.status.ok());
  EXPECT_EQ(answer->envelope.initial, (Metadata{{"first", "f"}}));
  EXPECT_EQ(answer->envelope.trailing, (Metadata{{"last", "l"}}));
}

TEST_F(ServerCallTest, MetadataIsSentWithAnErrorToo) {
  service_.handler = [](ServerContext& context, const Bytes&, Bytes&) {
    context.trailing_metadata().Add("last", "l");
    return absl::AbortedError("no");
  };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kAborted);
  EXPECT_EQ(answer->envelope.trailing, (Metadata{{"last", "l"}}));
}

TEST_F(ServerCallTest, ForbiddenMetadataOfTheHandlerIsInternal) {
  OnCall([](ServerContext& context) { context.initial_metadata().Add("Upper", "x"); });
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_THAT(answer->text(), HasSubstr("metadata"));
  EXPECT_TRUE(answer->envelope.initial.empty());
}

TEST_F(ServerCallTest, TooMuchMetadataIsResourceExhausted) {
  OnCall([](ServerContext& context) {
    context.trailing_metadata().Add("k-bin", std::string(base::kMaxEnvelopeSize, 'x'));
  });
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(answer->envelope.trailing.empty());
}

// --- what the handler sees ---

TEST_F(ServerCallTest, TheContextTellsWhoCallsAndHow) {
  OnCall([](ServerContext& context) {
    EXPECT_EQ(context.peer().pid, 1234);
    EXPECT_EQ(context.peer().uid, 5678u);
    EXPECT_EQ(context.transport(), "loopback");
    EXPECT_EQ(context.priority(), Priority::kLow);
    EXPECT_EQ(context.sequence_number(), 1u);
    EXPECT_EQ(context.deadline(), absl::InfiniteFuture());
    EXPECT_FALSE(context.IsCancelled());
    EXPECT_TRUE(context.client_metadata().empty());
  });
  ClientRequest request = MakeRequest();
  request.priority = Priority::kLow;
  EXPECT_TRUE(Run(request));
}

TEST_F(ServerCallTest, APriorityAboveTheServersIsLowered) {
  OnCall([](ServerContext& context) { EXPECT_EQ(context.priority(), Priority::kHigh); });
  ClientRequest request = MakeRequest();
  request.priority = Priority::kUrgent;
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->header.priority, static_cast<uint8_t>(Priority::kHigh));
}

TEST_F(ServerCallTest, TheDeadlineIsTheTimeLeftWhenTheRequestWasRead) {
  OnCall([](ServerContext& context) {
    const absl::Duration left = context.deadline() - absl::Now();
    EXPECT_LT(left, absl::Seconds(91));
    EXPECT_GT(left, absl::Seconds(30));
  });
  ClientRequest request = MakeRequest();
  request.time_left_ns = 100'000 * kMsNs;
  EXPECT_TRUE(Run(request, base::NowNs() - 10'000 * static_cast<int64_t>(kMsNs)));
}

TEST_F(ServerCallTest, AnEndlessTimeLeftIsNoDeadline) {
  OnCall([](ServerContext& context) { EXPECT_EQ(context.deadline(), absl::InfiniteFuture()); });
  ClientRequest request = MakeRequest();
  request.time_left_ns = ~uint64_t{0} >> 1;
  EXPECT_TRUE(Run(request));
}

// --- cancelling while the handler runs ---

TEST_F(ServerCallTest, ACancelReachesTheRunningHandler) {
  OnCall([this](ServerContext& context) {
    bool told = false;
    const std::stop_callback callback(context.stop_token(), [&] { told = true; });
    end_.client().SendControl({.kind = Kind::kCancel, .call_id = 1});
    const base::SteadyNs until = session::testing::Patience();
    while (!context.stop_token().stop_requested() && base::NowNs() < until) std::this_thread::yield();
    EXPECT_TRUE(context.IsCancelled());
  });
  EXPECT_TRUE(Run(MakeRequest()));
}

// It is the user's: it may do anything, also what takes the session's lock.
TEST_F(ServerCallTest, AStopCallbackMayCallBack) {
  std::thread::id ran_on;
  OnCall([&](ServerContext& context) {
    std::latch ran(1);
    const std::stop_callback callback(context.stop_token(), [&] {
      EXPECT_THAT(end_.session().DebugString(), HasSubstr("1 calls"));
      ran_on = std::this_thread::get_id();
      ran.count_down();
    });
    end_.session().HangUp();
    ran.wait();
  });
  const auto call = end_.SendAndRead(MakeRequest());
  call->Run();
  call->Reset();
  EXPECT_NE(ran_on, std::this_thread::get_id()) << "whoever cancels does not wait for it";
}

// The token of another thread of the handler's: nobody else waits for what hangs on it.
TEST_F(ServerCallTest, ACancelIsSeenBeforeItsStopCallbacksHaveRun) {
  OnCall([&](ServerContext& context) {
    std::latch may_end(1);
    const std::stop_callback callback(context.stop_token(), [&] { may_end.wait(); });
    end_.session().HangUp();
    EXPECT_TRUE(context.IsCancelled());
    may_end.count_down();
  });
  const auto call = end_.SendAndRead(MakeRequest());
  call->Run();
  call->Reset();
}

TEST_F(ServerCallTest, AStopTokenThatIsAskedForAfterTheCancelIsStopped) {
  OnCall([this](ServerContext& context) {
    end_.client().SendControl({.kind = Kind::kCancel, .call_id = 1});
    const base::SteadyNs until = session::testing::Patience();
    while (!context.IsCancelled() && base::NowNs() < until) std::this_thread::yield();
    EXPECT_TRUE(context.stop_token().stop_requested());
  });
  EXPECT_TRUE(Run(MakeRequest()));
}

TEST_F(ServerCallTest, TheDeadlineStopsTheToken) {
  OnCall([](ServerContext& context) {
    const std::stop_token token = context.stop_token();
    const base::SteadyNs until = session::testing::Patience();
    while (!token.stop_requested() && base::NowNs() < until) std::this_thread::yield();
    EXPECT_TRUE(token.stop_requested());
    EXPECT_TRUE(context.IsCancelled());
  });
  ClientRequest request = MakeRequest();
  request.time_left_ns = 10 * kMsNs;
  EXPECT_TRUE(Run(request));
}

TEST_F(ServerCallTest, ATokenMayOutliveItsCall) {
  std::stop_token token;
  OnCall([&token](ServerContext& context) { token = context.stop_token(); });
  ClientRequest request = MakeRequest();
  request.time_left_ns = 1000 * kMsNs;
  EXPECT_TRUE(Run(request));
  EXPECT_FALSE(token.stop_requested());
}

// --- requests and replies that are none ---

TEST_F(ServerCallTest, ARequestThatDoesNotParseIsInternalAndNamesTheField) {
  ExpectThatTheHandlerDoesNotRun();
  ClientRequest request = MakeRequest();
  request.payload = "\x0a\x7f";
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_THAT(answer->text(), AllOf(HasSubstr("the request of test.Service/Do"), HasSubstr("2 B")));
}

// --- being used again ---

TEST_F(ServerCallTest, TheNextCallFindsNothingOfTheLast) {
  IncomingCall call(core_, end_.places());
  OnCall([](ServerContext& context) {
    context.initial_metadata().Add("a", "1");
    context.trailing_metadata().Add("b", "2");
    EXPECT_FALSE(context.stop_token().stop_requested());
  });
  ClientRequest first = MakeRequest();
  first.metadata = {{"in", "1"}};
  first.time_left_ns = 100'000 * kMsNs;
  end_.Send(first);
  ASSERT_TRUE(end_.ReadInto(call));
  call.Run();
  call.MarkCancelled();
  call.Reset();
  EXPECT_TRUE(end_.TakeAnswer());

  OnCall([](ServerContext& context) {
    EXPECT_TRUE(context.client_metadata().empty());
    EXPECT_TRUE(context.initial_metadata().empty());
    EXPECT_TRUE(context.trailing_metadata().empty());
    EXPECT_FALSE(context.IsCancelled());
    EXPECT_FALSE(context.stop_token().stop_requested());
    EXPECT_EQ(context.deadline(), absl::InfiniteFuture());
  });
  end_.Send(MakeRequest());
  ASSERT_TRUE(end_.ReadInto(call));
  call.Run();
  call.Reset();
  EXPECT_TRUE(end_.TakeAnswer());
}

TEST_F(ServerCallTest, ResetWithoutACallIsHarmless) {
  IncomingCall call(core_, end_.places());
  call.Reset();
  call.Reset();
}

TEST_F(ServerCallTest, TheLastCallOfADrainingServerSaysSo) {
  int drained = 0;
  core_.on_drained = [&] { ++drained; };
  const auto one = end_.SendAndRead(MakeRequest());
  ClientRequest second = MakeRequest();
  second.call_id = 2;
  const auto two = end_.SendAndRead(second);
  EXPECT_EQ(core_.active_calls, 2u);
  one->Reset();
  core_.draining = true;
  two->Reset();
  EXPECT_EQ(drained, 1);
}

// --- who pays ---

class ServerCallQuotaTest : public ServerCallTest {
 protected:
  static constexpr size_t kBytes = 16 << 10;

  size_t held() { return shared_end_.session().client().account()->memory.taken().bytes(); }

  ServerCore small_core_{{.max_message_size = 8 << 10, .max_total_bytes = 2 * kBytes}, 1};
  testing::ServerEnd shared_end_{small_core_, {.max_frame_size = 256, .capacity_frames = 2}};
};

TEST_F(ServerCallQuotaTest, ACallIsPaidForUntilItIsAnsweredEvenIfThatIsDeferred) {
  ASSERT_TRUE(small_core_.services.Add(&service_).ok());
  const ClientRequest request = MakeRequest(std::string(50, 'x'));
  auto call = shared_end_.SendAndRead(request);
  ASSERT_NE(call, nullptr);
  std::unique_ptr<internal::PendingAnswer> pending = call->Defer();
  EXPECT_FALSE(call->Drop());
  static_cast<void>(call.release());
  EXPECT_EQ(held(), request.payload.size() + base::kCallCost);
  EXPECT_EQ(shared_end_.session().client().account()->memory.taken().count(), 1u);
  pending->Finish(absl::OkStatus(), MakeBytes(""));
  EXPECT_EQ(held(), 0u);
  EXPECT_EQ(shared_end_.session().client().account()->memory.taken().count(), 0u);
}

TEST_F(ServerCallQuotaTest, AReplyThatMayNotBeKeptIsReplacedByARefusal) {
  ASSERT_TRUE(small_core_.services.Add(&service_).ok());
  service_.handler = [](ServerContext&, const Bytes&, Bytes& reply) {
    reply.set_value(std::string(7 << 10, 'r'));
    return absl::OkStatus();
  };
  std::vector<std::unique_ptr<IncomingCall>> calls;
  for (uint64_t id = 1; id <= 5; ++id) {
    ClientRequest request = MakeRequest();
    request.call_id = id;
    calls.push_back(shared_end_.SendAndRead(request));
    ASSERT_NE(calls.back(), nullptr);
  }
  for (const auto& call : calls) {
    call->Run();
    call->Reset();
  }
  EXPECT_LE(held(), kBytes + 5 * (base::kAlwaysKept + base::kKeptMessageCost));
  size_t refused = 0;
  for (int i = 0; i < 5; ++i) {
    const auto answer = shared_end_.TakeAnswer();
    ASSERT_TRUE(answer);
    if (answer->code() == absl::StatusCode::kOk) continue;
    ++refused;
    EXPECT_EQ(answer->code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(answer->text()), HasSubstr("max_total_bytes"));
    EXPECT_EQ(answer->exec_state(), ExecState::kExecuted);
  }
  EXPECT_GE(refused, 2u);
  EXPECT_EQ(held(), 0u);
}

}  // namespace
}  // namespace nearcall::rpc
