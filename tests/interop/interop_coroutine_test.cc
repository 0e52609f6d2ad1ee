// SPDX-License-Identifier: Apache-2.0

// gRPC's interoperability cases again, with coroutines on both sides. (Those for long are about channels: see
// interop_test.cc.)
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "co_interop_service.h"
#include "interop_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::interop {

absl::string_view Style() {
  return "coroutine";
}

std::string Program() {
  return INTEROP_SERVER;
}

std::unique_ptr<Service> MakeService(std::string id) {
  return std::make_unique<CoInteropService>(std::move(id));
}

namespace {

using absl::StatusCode;
using integration::kLong;

constexpr size_t kReplyCount = std::size(kReplySizes);

class CoInterop : public Interop {
 protected:
  pb::TestService::CoStub CoStub() { return pb::TestService::CoStub(Connect()); }

  // Waits for what `body` makes: Run([&]() -> Task<> { ... }).
  template <typename Body>
  static void Run(Body body) {
    SyncWait(body());
  }
};

// Whether one more reply has come, which has `size`.
template <typename Stream>
Task<bool> ReadOne(Stream& stream, int32_t size) {
  pb::StreamingOutputCallResponse reply;
  const bool has_come = co_await stream.Read(&reply);
  if (has_come) ExpectSize(reply, size);
  co_return has_come;
}

template <typename Stream>
Task<> ExpectEnd(Stream& stream) {
  EXPECT_FALSE(co_await stream.Read());
  const absl::Status status = co_await stream.Finish();
  EXPECT_TRUE(status.ok()) << status;
}

// ---- unary calls ----

TEST_F(CoInterop, empty_unary) {
  Run([stub = CoStub()]() -> Task<> {
    const absl::StatusOr<pb::Empty> reply = co_await stub.EmptyCall(pb::Empty());
    EXPECT_TRUE(reply.ok()) << reply.status();
  });
}

TEST_F(CoInterop, large_unary) {
  Run([stub = CoStub()]() -> Task<> { ExpectLargeReply(co_await stub.UnaryCall(LargeRequest())); });
}

TEST_F(CoInterop, concurrent_large_unary) {
  constexpr size_t kTasks = 200;
  constexpr size_t kCalls = nearcall::testing::kSanitizers ? kTasks : 1000;
  // What is not awaited in a thread is kept, up to this.
  const pb::TestService::CoStub stub(Connect({.max_queued_bytes = size_t{kTasks} * 2 * kLargeRequestSize}));
  const pb::SimpleRequest request = LargeRequest();
  const auto call = [&]() -> Task<> {
    for (size_t i = 0; i < kCalls / kTasks; ++i) ExpectLargeReply(co_await stub.UnaryCall(request));
  };
  std::vector<Task<>> tasks;
  for (size_t i = 0; i < kTasks; ++i) tasks.push_back(call());
  SyncWait(WhenAll(std::move(tasks)));
}

// ---- streams ----

TEST_F(CoInterop, client_streaming) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.StreamingInputCall();
    for (const int32_t size : kRequestSizes) EXPECT_TRUE(co_await stream.Write(Input(size)));
    EXPECT_TRUE(co_await stream.WritesDone());
    const auto reply = co_await stream.Finish();
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(reply.ok() && reply->aggregated_payload_size() == kSumOfRequestSizes);
  });
}

TEST_F(CoInterop, server_streaming) {
  Run([stub = CoStub()]() -> Task<> {
    pb::StreamingOutputCallRequest request;
    for (const int32_t size : kReplySizes) request.add_response_parameters()->set_size(size);
    auto stream = stub.StreamingOutputCall(request);
    for (const int32_t size : kReplySizes) EXPECT_TRUE(co_await ReadOne(stream, size));
    co_await ExpectEnd(stream);
  });
}

TEST_F(CoInterop, ping_pong) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.FullDuplexCall();
    for (size_t i = 0; i < kReplyCount; ++i) {
      EXPECT_TRUE(co_await stream.Write(Output(kRequestSizes[i], kReplySizes[i])));
      EXPECT_TRUE(co_await ReadOne(stream, kReplySizes[i]));
    }
    EXPECT_TRUE(co_await stream.WritesDone());
    co_await ExpectEnd(stream);
  });
}

TEST_F(CoInterop, half_duplex) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.HalfDuplexCall();
    for (size_t i = 0; i < kReplyCount; ++i) {
      EXPECT_TRUE(co_await stream.Write(Output(kRequestSizes[i], kReplySizes[i])));
    }
    EXPECT_TRUE(co_await stream.WritesDone());
    for (const int32_t size : kReplySizes) EXPECT_TRUE(co_await ReadOne(stream, size));
    co_await ExpectEnd(stream);
  });
}

TEST_F(CoInterop, empty_stream) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.FullDuplexCall();
    EXPECT_TRUE(co_await stream.WritesDone());
    co_await ExpectEnd(stream);
  });
}

// See interop_test.cc.
TEST_F(CoInterop, slow_consumer) {
  static constexpr int kReplies = 2000;
  static constexpr int32_t kSize = 1030;
  static constexpr absl::Duration kPause = absl::Milliseconds(20);
  const int pause_every = std::getenv("NEARCALL_SOAK") != nullptr ? 1 : 40;
  Run([stub = CoStub(), pause_every]() -> Task<> {
    pb::StreamingOutputCallRequest request;
    for (int i = 0; i < kReplies; ++i) request.add_response_parameters()->set_size(kSize);
    auto stream = stub.StreamingOutputCall(request);
    int count = 0;
    while (co_await ReadOne(stream, kSize)) {
      if (++count % pause_every == 0) absl::SleepFor(kPause);
    }
    EXPECT_EQ(count, kReplies);
    co_await ExpectEnd(stream);
  });
}

TEST_F(CoInterop, server_answers_first) {
  Run([stub = CoStub()]() -> Task<> {
    const CallOptions options = {.metadata = {{std::string(kAnswerFirstKey), "31415"}}};
    auto stream = stub.FullDuplexCall(options);
    EXPECT_TRUE(co_await ReadOne(stream, 31415));
    EXPECT_TRUE(co_await stream.Write(Output(8, 9)));
    EXPECT_TRUE(co_await ReadOne(stream, 9));
    EXPECT_TRUE(co_await stream.WritesDone());
    co_await ExpectEnd(stream);
  });
}

// ---- metadata ----

Task<> ExpectMetadataEchoed(pb::TestService::CoStub stub, std::string initial, std::string trailing) {
  const CallOptions options = {
      .metadata = {{std::string(kEchoInitialKey), initial}, {std::string(kEchoTrailingKey), trailing}}};
  const ResponseMetadata echoed = {.initial = {{std::string(kEchoInitialKey), initial}},
                                   .trailing = {{std::string(kEchoTrailingKey), trailing}}};
  auto call = stub.UnaryCall(LargeRequest(), options);
  ExpectLargeReply(co_await call);
  EXPECT_TRUE(call.metadata().initial == echoed.initial);
  EXPECT_TRUE(call.metadata().trailing == echoed.trailing);

  auto stream = stub.FullDuplexCall(options);
  EXPECT_TRUE(co_await stream.WriteLast(Output(kLargeRequestSize, kLargeReplySize)));
  EXPECT_TRUE(co_await stream.WaitForInitialMetadata());
  EXPECT_TRUE(stream.metadata().initial == echoed.initial);
  EXPECT_TRUE(co_await ReadOne(stream, kLargeReplySize));
  co_await ExpectEnd(stream);
  EXPECT_TRUE(stream.metadata().trailing == echoed.trailing);
}

TEST_F(CoInterop, custom_metadata) {
  SyncWait(ExpectMetadataEchoed(CoStub(), "test_initial_metadata_value", "\xab\xab\xab"));
}

TEST_F(CoInterop, large_metadata) {
  SyncWait(ExpectMetadataEchoed(CoStub(), std::string(63 * 1024, 'X'), "\xab\xab\xab"));
}

// ---- errors ----

void ExpectStatus(const absl::Status& status, const std::string& message) {
  EXPECT_EQ(status.code(), StatusCode::kUnknown) << status;
  EXPECT_EQ(status.message(), message);
}

template <typename Request>
Request AskForStatus(const std::string& message) {
  Request request;
  request.mutable_response_status()->set_code(static_cast<int32_t>(StatusCode::kUnknown));
  request.mutable_response_status()->set_message(message);
  return request;
}

TEST_F(CoInterop, status_code_and_message) {
  Run([stub = CoStub()]() -> Task<> {
    const std::string message = "test status message";
    ExpectStatus((co_await stub.UnaryCall(AskForStatus<pb::SimpleRequest>(message))).status(), message);
    auto stream = stub.FullDuplexCall();
    EXPECT_TRUE(co_await stream.Write(AskForStatus<pb::StreamingOutputCallRequest>(message)));
    // False if the server's status was faster.
    stream.WritesDone();
    EXPECT_FALSE(co_await stream.Read());
    ExpectStatus(co_await stream.Finish(), message);
  });
}

TEST_F(CoInterop, special_status_message) {
  Run([stub = CoStub()]() -> Task<> {
    const std::string message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n";
    ExpectStatus((co_await stub.UnaryCall(AskForStatus<pb::SimpleRequest>(message))).status(), message);
  });
}

TEST_F(CoInterop, unimplemented_method) {
  Run([stub = CoStub()]() -> Task<> {
    EXPECT_EQ((co_await stub.UnimplementedCall(pb::Empty())).status().code(), StatusCode::kUnimplemented);
  });
}

TEST_F(CoInterop, unimplemented_service) {
  Run([stub = pb::UnimplementedService::CoStub(Connect())]() -> Task<> {
    EXPECT_EQ((co_await stub.UnimplementedCall(pb::Empty())).status().code(), StatusCode::kUnimplemented);
  });
}

// ---- ends by the client ----

TEST_F(CoInterop, cancel_after_begin) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.StreamingInputCall();
    stream.Cancel();
    EXPECT_EQ((co_await stream.Finish()).status().code(), StatusCode::kCancelled);
  });
}

TEST_F(CoInterop, cancel_after_first_response) {
  Run([stub = CoStub()]() -> Task<> {
    auto stream = stub.FullDuplexCall();
    EXPECT_TRUE(co_await stream.Write(Output(kRequestSizes[0], kReplySizes[0])));
    EXPECT_TRUE(co_await ReadOne(stream, kReplySizes[0]));
    stream.Cancel();
    EXPECT_EQ((co_await stream.Finish()).code(), StatusCode::kCancelled);
  });
}

TEST_F(CoInterop, cancel_before_start) {
  Run([stub = CoStub()]() -> Task<> {
    std::stop_source stop;
    stop.request_stop();
    const CallOptions options = {.stop_token = stop.get_token()};
    EXPECT_EQ((co_await stub.UnaryCall(LargeRequest(), options)).status().code(), StatusCode::kCancelled);
    auto input = stub.StreamingInputCall(options);
    const absl::Status input_status = (co_await input.Finish()).status();
    EXPECT_EQ(input_status.code(), StatusCode::kCancelled) << input_status;
    EXPECT_EQ(ExecStateOf(input_status), ExecState::kNotSent);
    auto output = stub.StreamingOutputCall(Output(8, 9), options);
    const absl::Status output_status = co_await output.Finish();
    EXPECT_EQ(output_status.code(), StatusCode::kCancelled) << output_status;
    EXPECT_EQ(ExecStateOf(output_status), ExecState::kNotSent);
  });
}

TEST_F(CoInterop, timeout_on_sleeping_server) {
  Run([stub = CoStub()]() -> Task<> {
    const CallOptions options = {.timeout = absl::Milliseconds(1)};
    auto stream = stub.FullDuplexCall(options);
    // False if the deadline was faster.
    static_cast<void>(co_await stream.Write(Output(27182)));
    EXPECT_FALSE(co_await stream.Read());
    EXPECT_EQ((co_await stream.Finish()).code(), StatusCode::kDeadlineExceeded);
  });
}

TEST_F(CoInterop, timeout_not_reached) {
  Run([stub = CoStub()]() -> Task<> {
    const CallOptions options = {.timeout = kLong};
    ExpectLargeReply(co_await stub.UnaryCall(LargeRequest(), options));
    auto stream = stub.FullDuplexCall(options);
    EXPECT_TRUE(co_await stream.WriteLast(Output(27182, 31415)));
    EXPECT_TRUE(co_await ReadOne(stream, 31415));
    co_await ExpectEnd(stream);
  });
}

}  // namespace
}  // namespace nearcall::interop
