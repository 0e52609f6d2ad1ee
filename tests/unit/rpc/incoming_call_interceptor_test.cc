// SPDX-License-Identifier: Apache-2.0

// ServerOptions::interceptors, where a call runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nearcall/interceptor.h"
#include "rpc/server/incoming_call.h"
#include "unit/rpc/server_end.h"
#include "unit/session/client.h"

namespace nearcall::rpc {
namespace {

using testing::Bytes;
using testing::ClientRequest;
using ::testing::ElementsAre;
using testing::FakeService;
using ::testing::HasSubstr;
using testing::MakeBytes;

// Does what the test says.
class Scripted final : public ServerInterceptor {
 public:
  std::function<absl::StatusOr<OnCallEnd>(ServerContext& context)> start;

  absl::StatusOr<OnCallEnd> Start(const CallInfo&, ServerContext& context) override { return start(context); }
};

class InterceptedCallTest : public ::testing::Test {
 protected:
  InterceptedCallTest() {
    EXPECT_TRUE(core_.services.Add(&service_).ok());
    outer_->start = [this](ServerContext&) -> absl::StatusOr<OnCallEnd> {
      return [this](const CallEnd& end) { ends_.emplace_back(absl::StatusCodeToString(end.status.code())); };
    };
    inner_->start = [](ServerContext&) -> absl::StatusOr<OnCallEnd> { return nullptr; };
  }
  ~InterceptedCallTest() override { EXPECT_EQ(core_.active_calls, 0u); }

  // What comes of a call that runs on a thread of its own.
  testing::Answer Run(bool one_way = false) {
    ClientRequest request = {.method_id = service_.method().id, .payload = MakeBytes("hi").SerializeAsString()};
    request.one_way = one_way;
    const auto call = end_.SendAndRead(request);
    std::thread([&call] { call->Run(); }).join();
    testing::Answer answer = *end_.TakeAnswer();
    call->Reset();
    return answer;
  }

  session::testing::LogLines log_;
  std::vector<std::string> ends_;
  FakeService service_{"test.Service", {"test.Service/Do"}};
  const std::shared_ptr<Scripted> outer_ = std::make_shared<Scripted>();
  const std::shared_ptr<Scripted> inner_ = std::make_shared<Scripted>();
  ServerCore core_{{.log_sink = log_.Sink(), .interceptors = {outer_, inner_}}, 1};
  testing::ServerEnd end_{core_};
};

TEST_F(InterceptedCallTest, AThreadThatEndsInOneAnswersFirst) {
  inner_->start = [](ServerContext&) -> absl::StatusOr<OnCallEnd> { ::pthread_exit(nullptr); };
  const testing::Answer answer = Run();
  EXPECT_EQ(answer.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(answer.text()), HasSubstr("has ended its thread"));
  EXPECT_EQ(answer.exec_state(), ExecState::kNotStarted);
  EXPECT_THAT(ends_, ElementsAre("INTERNAL"));
}

TEST_F(InterceptedCallTest, AThreadThatEndsInTheHandlerIsAnEnd) {
  service_.handler = [](ServerContext&, const Bytes&, Bytes&) -> absl::Status { ::pthread_exit(nullptr); };
  EXPECT_EQ(Run().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(ends_, ElementsAre("INTERNAL"));
}

// Its caller is told of the start; they hear of the end.
TEST_F(InterceptedCallTest, AOneWayCallEndsWithItsHandler) {
  service_.handler = [this](ServerContext&, const Bytes&, Bytes&) {
    EXPECT_TRUE(ends_.empty());
    return absl::NotFoundError("");
  };
  EXPECT_EQ(Run(/*one_way=*/true).code(), absl::StatusCode::kOk);
  EXPECT_THAT(ends_, ElementsAre("NOT_FOUND"));
}

// Not what its handler says.
TEST_F(InterceptedCallTest, ALateAnswerIsALateEnd) {
  bool ran = false;
  service_.handler = [&](ServerContext& context, const Bytes&, Bytes&) {
    while (!context.IsCancelled()) std::this_thread::yield();
    ran = true;
    return absl::OkStatus();
  };
  uint64_t calls = 0;
  while (!ran) {  // a slow machine may refuse some
    ++calls;
    const auto late = end_.SendAndRead({.call_id = calls << 16 | 1,
                                        .method_id = service_.method().id,
                                        .payload = MakeBytes("hi").SerializeAsString(),
                                        .time_left_ns = 5'000'000});
    late->Run();
    EXPECT_EQ(end_.TakeAnswer()->code(), absl::StatusCode::kDeadlineExceeded);
    late->Reset();
  }
  EXPECT_THAT(ends_, ElementsAre("DEADLINE_EXCEEDED"));
}

TEST_F(InterceptedCallTest, ARequestThatDoesNotParseIsAnEnd) {
  const auto call = end_.SendAndRead({.method_id = service_.method().id, .payload = "\xff"});
  call->Run();
  EXPECT_EQ(end_.TakeAnswer()->code(), absl::StatusCode::kInternal);
  call->Reset();
  EXPECT_THAT(ends_, ElementsAre("INTERNAL"));
}

// The next call has the memory of this one.
TEST_F(InterceptedCallTest, EachCallHasItsOwnEnd) {
  EXPECT_EQ(Run().code(), absl::StatusCode::kOk);
  inner_->start = [](ServerContext&) -> absl::StatusOr<OnCallEnd> { return absl::AbortedError("no"); };
  const auto call = end_.SendAndRead({.call_id = 0x10001, .method_id = service_.method().id, .payload = ""});
  call->Run();
  EXPECT_EQ(end_.TakeAnswer()->code(), absl::StatusCode::kAborted);
  call->Reset();
  EXPECT_THAT(ends_, ElementsAre("OK", "ABORTED"));
}

TEST_F(InterceptedCallTest, TrailingMetadataThatAreNoneEndTheCallWithInternal) {
  inner_->start = [](ServerContext& context) -> absl::StatusOr<OnCallEnd> {
    return [&context](const CallEnd&) { context.trailing_metadata().Add("Not A Key", ""); };
  };
  EXPECT_EQ(Run().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace nearcall::rpc
