// SPDX-License-Identifier: Apache-2.0

// ServerOptions::authorize: whether a client may call a method.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "rpc/server/incoming_call.h"
#include "unit/rpc/server_end.h"
#include "unit/session/client.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using testing::Answer;
using testing::Bytes;
using testing::ClientRequest;
using ::testing::ElementsAre;
using testing::FakeService;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeBytes;
using ::testing::Not;
using ::testing::SizeIs;

class AuthorizeTest : public ::testing::Test {
 protected:
  AuthorizeTest() {
    EXPECT_TRUE(core_.services.Add(&service_).ok());
    service_.handler = [this](ServerContext&, const Bytes&, Bytes&) {
      ++runs_;
      return absl::OkStatus();
    };
  }
  ~AuthorizeTest() override { EXPECT_EQ(core_.active_calls, 0u); }

  ClientRequest MakeRequest() {
    return {.method_id = service_.method().id, .payload = MakeBytes("hi").SerializeAsString()};
  }

  std::optional<Answer> Run(const ClientRequest& request) {
    const auto call = end_.SendAndRead(request);
    if (call == nullptr) return std::nullopt;
    call->Run();
    auto answer = end_.TakeAnswer();
    call->Reset();
    return answer;
  }

  session::testing::LogLines log_;
  std::function<absl::Status()> verdict_ = [] { return absl::OkStatus(); };
  std::vector<std::string> asked_;
  uid_t asked_for_ = 0;
  int runs_ = 0;
  FakeService service_{"test.Service", {"test.Service/Do"}};
  ServerCore core_{{.log_sink = log_.Sink(),
                    .authorize =
                        [this](const PeerIdentity& peer, absl::string_view method) {
                          asked_.emplace_back(method);
                          asked_for_ = peer.uid;
                          return verdict_();
                        }},
                   1};
  testing::ServerEnd end_{core_};
};

TEST_F(AuthorizeTest, IsAskedWhoCallsWhatBeforeTheHandlerRuns) {
  verdict_ = [this] {
    EXPECT_EQ(runs_, 0);
    return absl::OkStatus();
  };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kOk);
  EXPECT_THAT(asked_, ElementsAre("test.Service/Do"));
  EXPECT_EQ(asked_for_, session::testing::kUser);
  EXPECT_EQ(runs_, 1);
}

TEST_F(AuthorizeTest, WhatItSaysIsWhatTheCallerGets) {
  verdict_ = [] {
    absl::Status status = absl::PermissionDeniedError("ask Anna");
    status.SetPayload("type.test/detail", absl::Cord("more"));
    return status;
  };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(answer->text(), "ask Anna");
  EXPECT_EQ(answer->envelope.status.GetPayload("type.test/detail"), absl::Cord("more"));
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_EQ(runs_, 0);
  EXPECT_EQ(core_.calls_started, 0u);
  EXPECT_EQ(core_.calls_refused, 1u);
}

// Which a client would take for the end of the server.
TEST_F(AuthorizeTest, UnavailableIsNotSaidToBeHarmlessToRepeat) {
  verdict_ = [] { return absl::UnavailableError("nobody decides today"); };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer->exec_state(), ExecState::kMaybeExecuted);
  EXPECT_EQ(runs_, 0);
}

TEST_F(AuthorizeTest, AnExceptionIsUnknownWithoutItsText) {
  verdict_ = []() -> absl::Status { throw std::runtime_error("secret"); };
  const auto answer = Run(MakeRequest());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kUnknown);
  EXPECT_THAT(answer->text(), AllOf(HasSubstr("authorize for test.Service/Do"), Not(HasSubstr("secret"))));
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_EQ(runs_, 0);
  core_.logger->Flush();
  EXPECT_THAT(log_.all(), ElementsAre(HasSubstr("authorize for test.Service/Do threw")));
}

TEST_F(AuthorizeTest, AThreadThatEndsInItAnswersFirst) {
  verdict_ = []() -> absl::Status { ::pthread_exit(nullptr); };
  const auto call = end_.SendAndRead(MakeRequest());
  std::thread([&call] { call->Run(); }).join();
  const auto answer = end_.TakeAnswer();
  call->Reset();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_THAT(answer->text(), HasSubstr("authorize for test.Service/Do has ended its thread"));
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
  EXPECT_EQ(runs_, 0);
}

TEST_F(AuthorizeTest, IsNotAskedForWhatNoHandlerWouldRun) {
  ClientRequest request = MakeRequest();
  request.method_id = 4711;
  EXPECT_EQ(Run(request)->code(), absl::StatusCode::kUnimplemented);
  request = MakeRequest();
  request.call_id = 0x10001;
  request.time_left_ns = 1;
  EXPECT_EQ(Run(request)->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(runs_, 0);
}

}  // namespace
}  // namespace nearcall::rpc
