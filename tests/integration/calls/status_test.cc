// SPDX-License-Identifier: Apache-2.0

// How calls fail: codes, texts, details, and how far each got.
#include <atomic>
#include <memory>
#include <stdexcept>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using internal::MakeMethod;
using internal::MethodInfo;
using internal::MethodKind;

constexpr MethodInfo kSpell =
    MakeMethod("nearcall.integration.Echo/Spell", MethodKind::kUnary, Priority::kNormal, 0, false);
constexpr MethodInfo kSay =
    MakeMethod("nearcall.integration.Echo/Say", MethodKind::kUnary, Priority::kNormal, 0, false);

class StatusTest : public IntegrationTest {
 protected:
  // What a call gets whose handler answers `status`.
  absl::Status CallThatAnswers(const absl::Status& status) {
    echo.say = [status](ServerContext&, const Blob&, Blob&) { return status; };
    const auto server = StartServer();
    return ConnectStub().Say(MakeBlob("")).status();
  }
};

TEST_F(StatusTest, EveryCodeAndItsTextArrive) {
  std::atomic<StatusCode> current{};
  echo.say = [&current](ServerContext&, const Blob&, Blob&) {
    return absl::Status(current, absl::StrCat("text ", current.load()));
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (int i = 1; i <= 16; ++i) {
    const auto code = static_cast<StatusCode>(i);
    current = code;
    const absl::Status status = stub.Say(MakeBlob("")).status();
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), absl::StrCat("text ", code));
    EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
  }
}

TEST_F(StatusTest, DetailsArrive) {
  absl::Status sent = absl::NotFoundError("no such thing");
  sent.SetPayload("type.example/a", absl::Cord(std::string("\0binary\xff", 8)));
  sent.SetPayload("type.example/b", absl::Cord("b"));
  const absl::Status got = CallThatAnswers(sent);
  EXPECT_EQ(got.GetPayload("type.example/a"), sent.GetPayload("type.example/a"));
  EXPECT_EQ(got.GetPayload("type.example/b"), absl::Cord("b"));
}

TEST_F(StatusTest, LongTextIsCut) {
  const absl::Status got = CallThatAnswers(absl::AbortedError(std::string(100'000, 'x')));
  EXPECT_EQ(got.code(), StatusCode::kAborted);
  EXPECT_EQ(got.message(), std::string(8192, 'x'));
}

TEST_F(StatusTest, TooManyDetailsAreALimit) {
  absl::Status sent = absl::NotFoundError("no such thing");
  sent.SetPayload("type.example/huge", absl::Cord(std::string(200'000, 'x')));
  const absl::Status got = CallThatAnswers(sent);
  EXPECT_EQ(got.code(), StatusCode::kResourceExhausted) << got;
  EXPECT_EQ(ExecStateOf(got), ExecState::kExecuted);
}

TEST_F(StatusTest, ErrorThatAHandlerPassesOnDoesNotCarryItsState) {
  std::unique_ptr<Echo::Stub> stub;  // outlives the server's threads
  echo.say = [&](ServerContext&, const Blob& request, Blob&) {
    return request.data() == "inner" ? absl::UnavailableError("inner")
                                     : stub->Say(MakeBlob("inner"), {.timeout = absl::ZeroDuration()}).status();
  };
  const auto server = StartServer();
  stub = std::make_unique<Echo::Stub>(ConnectStub());
  const absl::Status status = ConnectStub().Say(MakeBlob("outer")).status();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
}

TEST_F(StatusTest, WhatAHandlerThrowsStaysOnTheServer) {
  echo.say = [](ServerContext&, const Blob& request, Blob&) -> absl::Status {
    if (request.data() == "int") throw 42;
    throw std::runtime_error("the password is 1234");
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (const char* kind : {"exception", "int"}) {
    const absl::Status status = stub.Say(MakeBlob(kind)).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kUnknown, "nearcall.integration.Echo/Say"));
    EXPECT_FALSE(absl::StrContains(status.ToString(), "1234"));
    EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
  }
  EXPECT_TRUE(Eventually([&] { return log.Has("the handler of nearcall.integration.Echo/Say threw an exception"); }));
  EXPECT_FALSE(log.Has("1234"));
}

TEST_F(StatusTest, UnknownServiceAndMethodAreNamed) {
  const auto server = StartServer();
  const auto channel = Connect();
  for (const char* name : {"nearcall.integration.Second/Say", "nearcall.integration.Echo/Sing", "no.such.Service/X"}) {
    const MethodInfo method = MakeMethod(name, MethodKind::kUnary, Priority::kNormal, 0, false);
    Blob reply;
    const absl::Status status = channel->BlockingCall(method, MakeBlob("x"), reply, {});
    EXPECT_THAT(status, FailsWith(StatusCode::kUnimplemented, name));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  }
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
}

TEST_F(StatusTest, MethodThatNobodyHasWrittenIsNamed) {
  SecondService second;
  const auto server = Must(ServerBuilder().Listen(Address()).Register(&second).Start());
  EXPECT_THAT(Second::Stub(Connect()).Nothing(MakeBlob("")).status(),
              FailsWith(StatusCode::kUnimplemented, "nearcall.integration.Second/Nothing"));
}

TEST_F(StatusTest, RequestThatDoesNotParseIsNamed) {
  const auto server = StartServer();
  const auto channel = Connect();
  Text reply;
  const absl::Status status = channel->BlockingCall(kSpell, MakeBlob("\xff"), reply, {});
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "nearcall.integration.Echo/Spell"));
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "does not parse as nearcall.integration.Text"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
}

TEST_F(StatusTest, ReplyThatDoesNotParseIsNamed) {
  const auto server = StartServer();
  const auto channel = Connect();
  Text reply;
  const absl::Status status = channel->BlockingCall(kSay, MakeBlob("\xff"), reply, {});
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "the reply of nearcall.integration.Echo/Say"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
  EXPECT_EQ(reply.text(), "");
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
}

TEST_F(StatusTest, StateOfOkIsExecuted) {
  const auto server = StartServer();
  EXPECT_EQ(ExecStateOf(ConnectStub().Say(MakeBlob("")).status()), ExecState::kExecuted);
}

}  // namespace
}  // namespace nearcall::integration
