// SPDX-License-Identifier: Apache-2.0

// gRPC's interoperability cases with a server in another process, or in this one, and those that its list says it
// lacks.
#include <cstdlib>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "interop_fixture.h"
#include "measured.h"
#include "support/sanitizers.h"

namespace nearcall::interop {

absl::string_view Style() {
  return "blocking";
}

std::string Program() {
  return INTEROP_SERVER;
}

std::unique_ptr<Service> MakeService(std::string id) {
  return std::make_unique<InteropService>(std::move(id));
}

namespace {

using absl::StatusCode;
using integration::Event;
using integration::kLong;
using integration::Must;

constexpr size_t kReplyCount = std::size(kReplySizes);

// ---- unary calls ----

TEST_F(Interop, empty_unary) {
  const absl::StatusOr<pb::Empty> reply = Stub().EmptyCall(pb::Empty());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->ByteSizeLong(), 0u);
}

TEST_F(Interop, large_unary) {
  ExpectLargeReply(Stub().UnaryCall(LargeRequest()));
}

TEST_F(Interop, concurrent_large_unary) {
  constexpr size_t kCalls = 1000;
  constexpr size_t kThreads = nearcall::testing::kSanitizers ? 200 : kCalls;
  const auto stub = Stub();
  const pb::SimpleRequest request = LargeRequest();
  Event start;
  std::vector<std::thread> callers;
  for (size_t i = 0; i < kThreads; ++i) {
    callers.emplace_back([&] {
      start.Wait();
      for (size_t j = 0; j < kCalls / kThreads; ++j) ExpectLargeReply(stub.UnaryCall(request));
    });
  }
  start.Set();
  for (std::thread& caller : callers) caller.join();
}

// ---- streams ----

TEST_F(Interop, client_streaming) {
  const auto stream = Stub().StreamingInputCall();
  for (const int32_t size : kRequestSizes) EXPECT_TRUE(stream->Write(Input(size)));
  EXPECT_TRUE(stream->WritesDone());
  const auto reply = stream->Finish();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->aggregated_payload_size(), kSumOfRequestSizes);
}

TEST_F(Interop, server_streaming) {
  pb::StreamingOutputCallRequest request;
  for (const int32_t size : kReplySizes) request.add_response_parameters()->set_size(size);
  const auto stream = Stub().StreamingOutputCall(request);
  pb::StreamingOutputCallResponse reply;
  size_t count = 0;
  for (; stream->Read(&reply); ++count) {
    ASSERT_LT(count, kReplyCount);
    ExpectSize(reply, kReplySizes[count]);
  }
  EXPECT_EQ(count, kReplyCount);
  Must(stream->Finish());
}

TEST_F(Interop, ping_pong) {
  const auto stream = Stub().FullDuplexCall();
  pb::StreamingOutputCallResponse reply;
  for (size_t i = 0; i < kReplyCount; ++i) {
    ASSERT_TRUE(stream->Write(Output(kRequestSizes[i], kReplySizes[i])));
    ASSERT_TRUE(stream->Read(&reply));
    ExpectSize(reply, kReplySizes[i]);
  }
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
}

TEST_F(Interop, half_duplex) {
  const auto stream = Stub().HalfDuplexCall();
  for (size_t i = 0; i < kReplyCount; ++i) ASSERT_TRUE(stream->Write(Output(kRequestSizes[i], kReplySizes[i])));
  EXPECT_TRUE(stream->WritesDone());
  pb::StreamingOutputCallResponse reply;
  for (const int32_t size : kReplySizes) {
    ASSERT_TRUE(stream->Read(&reply));
    ExpectSize(reply, size);
  }
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
}

TEST_F(Interop, empty_stream) {
  const auto stream = Stub().FullDuplexCall();
  EXPECT_TRUE(stream->WritesDone());
  pb::StreamingOutputCallResponse reply;
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
}

// gRPC's sleeps after each reply. Ours, which runs every day, does so in its long form, and else after each fortieth.
TEST_F(Interop, slow_consumer) {
  constexpr int kReplies = 2000;
  constexpr int32_t kSize = 1030;
  constexpr absl::Duration kPause = absl::Milliseconds(20);
  const int pause_every = std::getenv("NEARCALL_SOAK") != nullptr ? 1 : 40;
  pb::StreamingOutputCallRequest request;
  for (int i = 0; i < kReplies; ++i) request.add_response_parameters()->set_size(kSize);
  const auto stream = Stub().StreamingOutputCall(request);
  pb::StreamingOutputCallResponse reply;
  int count = 0;
  while (stream->Read(&reply)) {
    ExpectSize(reply, kSize);
    if (++count % pause_every == 0) absl::SleepFor(kPause);
  }
  EXPECT_EQ(count, kReplies);
  Must(stream->Finish());
}

TEST_F(Interop, server_answers_first) {
  const auto stream = Stub().FullDuplexCall({.metadata = {{std::string(kAnswerFirstKey), "31415"}}});
  pb::StreamingOutputCallResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  ExpectSize(reply, 31415);
  EXPECT_TRUE(stream->Write(Output(8, 9)));
  ASSERT_TRUE(stream->Read(&reply));
  ExpectSize(reply, 9);
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
}

// ---- metadata ----

void ExpectMetadataEchoed(const pb::TestService::Stub& stub, const std::string& initial, const std::string& trailing) {
  const Metadata sent = {{std::string(kEchoInitialKey), initial}, {std::string(kEchoTrailingKey), trailing}};
  const ResponseMetadata echoed = {.initial = {{std::string(kEchoInitialKey), initial}},
                                   .trailing = {{std::string(kEchoTrailingKey), trailing}}};
  ResponseMetadata unary;
  ExpectLargeReply(stub.UnaryCall(LargeRequest(), {.metadata = sent, .response_metadata = &unary}));
  EXPECT_TRUE(unary.initial == echoed.initial);
  EXPECT_TRUE(unary.trailing == echoed.trailing);

  const auto stream = stub.FullDuplexCall({.metadata = sent});
  EXPECT_TRUE(stream->Write(Output(kLargeRequestSize, kLargeReplySize)));
  EXPECT_TRUE(stream->WritesDone());
  pb::StreamingOutputCallResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  ExpectSize(reply, kLargeReplySize);
  EXPECT_TRUE(stream->metadata().initial == echoed.initial);
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
  EXPECT_TRUE(stream->metadata().trailing == echoed.trailing);
}

TEST_F(Interop, custom_metadata) {
  ExpectMetadataEchoed(Stub(), "test_initial_metadata_value", "\xab\xab\xab");
}

TEST_F(Interop, large_metadata) {
  ExpectMetadataEchoed(Stub(), std::string(63 * 1024, 'X'), "\xab\xab\xab");
}

// ---- errors ----

void ExpectStatus(const absl::Status& status, const std::string& message) {
  EXPECT_EQ(status.code(), StatusCode::kUnknown) << status;
  EXPECT_EQ(status.message(), message);
}

TEST_F(Interop, status_code_and_message) {
  const std::string message = "test status message";
  const auto stub = Stub();
  pb::SimpleRequest request;
  request.mutable_response_status()->set_code(static_cast<int32_t>(StatusCode::kUnknown));
  request.mutable_response_status()->set_message(message);
  ExpectStatus(stub.UnaryCall(request).status(), message);

  pb::StreamingOutputCallRequest element;
  *element.mutable_response_status() = request.response_status();
  const auto stream = stub.FullDuplexCall();
  EXPECT_TRUE(stream->Write(element));
  // False if the server's status was faster.
  stream->WritesDone();
  pb::StreamingOutputCallResponse reply;
  EXPECT_FALSE(stream->Read(&reply));
  ExpectStatus(stream->Finish(), message);
}

TEST_F(Interop, special_status_message) {
  const std::string message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n";
  pb::SimpleRequest request;
  request.mutable_response_status()->set_code(static_cast<int32_t>(StatusCode::kUnknown));
  request.mutable_response_status()->set_message(message);
  ExpectStatus(Stub().UnaryCall(request).status(), message);
}

TEST_F(Interop, unimplemented_method) {
  EXPECT_EQ(Stub().UnimplementedCall(pb::Empty()).status().code(), StatusCode::kUnimplemented);
}

TEST_F(Interop, unimplemented_service) {
  const pb::UnimplementedService::Stub stub(Connect());
  EXPECT_EQ(stub.UnimplementedCall(pb::Empty()).status().code(), StatusCode::kUnimplemented);
}

// ---- ends by the client ----

TEST_F(Interop, cancel_after_begin) {
  const auto stream = Stub().StreamingInputCall();
  stream->Cancel();
  EXPECT_EQ(stream->Finish().status().code(), StatusCode::kCancelled);
}

TEST_F(Interop, cancel_after_first_response) {
  const auto stream = Stub().FullDuplexCall();
  EXPECT_TRUE(stream->Write(Output(kRequestSizes[0], kReplySizes[0])));
  pb::StreamingOutputCallResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  ExpectSize(reply, kReplySizes[0]);
  stream->Cancel();
  EXPECT_EQ(stream->Finish().code(), StatusCode::kCancelled);
}

TEST_F(Interop, cancel_before_start) {
  std::stop_source stop;
  stop.request_stop();
  const CallOptions options = {.stop_token = stop.get_token()};
  const auto stub = Stub();
  EXPECT_EQ(stub.UnaryCall(LargeRequest(), options).status().code(), StatusCode::kCancelled);
  const absl::Status input = stub.StreamingInputCall(options)->Finish().status();
  EXPECT_EQ(input.code(), StatusCode::kCancelled) << input;
  EXPECT_EQ(ExecStateOf(input), ExecState::kNotSent);
  const absl::Status output = stub.StreamingOutputCall(Output(8, 9), options)->Finish();
  EXPECT_EQ(output.code(), StatusCode::kCancelled) << output;
  EXPECT_EQ(ExecStateOf(output), ExecState::kNotSent);
}

TEST_F(Interop, timeout_on_sleeping_server) {
  const auto stream = Stub().FullDuplexCall({.timeout = absl::Milliseconds(1)});
  // False if the deadline was faster.
  stream->Write(Output(27182));
  pb::StreamingOutputCallResponse reply;
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(Interop, timeout_not_reached) {
  const auto stub = Stub();
  ExpectLargeReply(stub.UnaryCall(LargeRequest(), {.timeout = kLong}));
  const auto stream = stub.FullDuplexCall({.timeout = kLong});
  EXPECT_TRUE(stream->WriteLast(Output(27182, 31415)));
  pb::StreamingOutputCallResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  ExpectSize(reply, 31415);
  EXPECT_FALSE(stream->Read(&reply));
  Must(stream->Finish());
}

// ---- for long ----

class Soak : public Interop {
 protected:
  // large_unary as often as NEARCALL_SOAK says, each in time.
  void Run(bool channel_for_each) {
    const size_t iterations = integration::TortureCount("NEARCALL_SOAK", 10);
    const absl::Duration longest = integration::Strict() ? absl::Seconds(1) : kLong;
    auto stub = Stub();
    ExpectLargeReply(stub.UnaryCall(LargeRequest()));
    const int64_t before = server.ResidentSize();
    integration::Measured latencies("large_unary");
    for (size_t i = 0; i < iterations && !HasFailure(); ++i) {
      if (channel_for_each) stub = Stub();
      const absl::Time begun = absl::Now();
      ExpectLargeReply(stub.UnaryCall(LargeRequest()));
      latencies.Add(absl::ToDoubleMilliseconds(absl::Now() - begun));
      EXPECT_LE(absl::Now() - begun, longest);
    }
    latencies.Print("ms");
    ExpectNoGrowth(before);
  }

  void ExpectNoGrowth(int64_t before) const {
    constexpr int64_t kMiB = 1 << 20;
    const int64_t after = server.ResidentSize();
    absl::PrintF("[ measured ] memory of the server: %.1f MiB before, %.1f MiB after\n",
                 static_cast<double>(before) / kMiB, static_cast<double>(after) / kMiB);
    if (!nearcall::testing::kSanitizers) {
      EXPECT_LE(after, before + 32 * kMiB);
    }
  }
};

TEST_F(Soak, rpc_soak) {
  Run(false);
}

TEST_F(Soak, channel_soak) {
  Run(true);
}

TEST_F(Interop, long_lived_channel) {
  constexpr absl::Duration kInterval = absl::Milliseconds(50);
  const auto stub = Stub();
  for (int i = 0; i < 10; ++i) {
    ExpectLargeReply(stub.UnaryCall(LargeRequest()));
    absl::SleepFor(kInterval);
  }
}

// gRPC's pick_first_unary: there one of several servers is to be kept, here there is one at a time, and another one
// only after its end; a channel within a process ends with its server.
class Instance : public Interop {
 protected:
  static std::string AskWho(const pb::TestService::Stub& stub) {
    pb::SimpleRequest request;
    request.set_response_size(1);
    *request.mutable_payload() = Zeros(1);
    request.set_fill_server_id(true);
    return Must(stub.UnaryCall(request, {.timeout = kLong, .wait_for_ready = true})).server_id();
  }

  void TearDown() override {
    if (!InProcess()) {
      EXPECT_EQ(successor.End(), 0);
    }
    Interop::TearDown();
  }

  ServerUnderTest successor;
};

TEST_F(Instance, pick_first_unary) {
  const auto stub = Stub();
  const std::string first = AskWho(stub);
  EXPECT_NE(first, "");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(AskWho(stub), first);
  if (WhereIsTheServer() == Where::kExec) {
    EXPECT_NE(AskWho(Stub()), first) << "another channel has another child";
    return;
  }
  EXPECT_EQ(AskWho(Stub()), first) << "over another channel";
  EXPECT_EQ(server.End(), 0);
  if (InProcess()) {
    EXPECT_EQ(stub.EmptyCall(pb::Empty()).status().code(), StatusCode::kUnavailable);
    return;
  }
  successor.Start();
  const std::string second = AskWho(stub);
  EXPECT_NE(second, first);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(AskWho(stub), second);
}

}  // namespace
}  // namespace nearcall::interop
