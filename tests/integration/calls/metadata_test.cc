// SPDX-License-Identifier: Apache-2.0

// Metadata, both ways, with replies and with errors.
#include "fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class MetadataTest : public IntegrationTest {};

TEST_F(MetadataTest, GoesToTheHandler) {
  Metadata got;
  echo.say = [&got](ServerContext& context, const Blob&, Blob&) {
    got = context.client_metadata();
    return absl::OkStatus();
  };
  const Metadata sent = {
      {"trace-id", "7f3a"}, {"trace-id", "again"}, {"raw-bin", std::string("\0\xff\n", 3)}, {"e", ""}};
  {
    const auto server = StartServer();
    ASSERT_TRUE(ConnectStub().Say(MakeBlob(""), {.metadata = sent}).ok());
  }
  EXPECT_EQ(got, sent);
}

TEST_F(MetadataTest, IsNotLeftForTheNextCall) {
  std::vector<size_t> sizes;
  echo.say = [&sizes](ServerContext& context, const Blob&, Blob&) {
    sizes.push_back(context.client_metadata().size() + context.trailing_metadata().size());
    context.trailing_metadata().Add("left", "over");
    return absl::OkStatus();
  };
  {
    const auto server = StartServer();
    const Echo::Stub stub = ConnectStub();
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.metadata = {{"a", "b"}}}).ok());
    EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  }
  EXPECT_THAT(sizes, ::testing::ElementsAre(1, 0));
}

TEST_F(MetadataTest, ComesBackWithTheReplyAndWithAnError) {
  echo.say = [](ServerContext& context, const Blob& request, Blob&) {
    context.initial_metadata().Add("begin", "1");
    context.trailing_metadata().Add("end-bin", "\xff");
    return request.data().empty() ? absl::OkStatus() : absl::AbortedError("as asked");
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (const StatusCode code : {StatusCode::kOk, StatusCode::kAborted}) {
    ResponseMetadata response = {.initial = {{"left", "from before"}}};
    const auto reply = stub.Say(MakeBlob(code == StatusCode::kOk ? "" : "fail"), {.response_metadata = &response});
    EXPECT_EQ(reply.status().code(), code);
    EXPECT_EQ(response.initial, (Metadata{{"begin", "1"}}));
    EXPECT_EQ(response.trailing, (Metadata{{"end-bin", "\xff"}}));
  }
}

TEST_F(MetadataTest, IsClearedWhenNothingComes) {
  const auto server = StartServer();
  ResponseMetadata response = {.initial = {{"left", "from before"}}, .trailing = {{"too", ""}}};
  EXPECT_FALSE(ConnectStub().Say(MakeBlob(""), {.timeout = absl::ZeroDuration(), .response_metadata = &response}).ok());
  EXPECT_TRUE(response.initial.empty() && response.trailing.empty());
}

TEST_F(MetadataTest, MayBeLargeBesideALargeMessage) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    context.trailing_metadata() = context.client_metadata();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const Metadata large = {{"large", std::string(63'000, 'X')}};
  ResponseMetadata response;
  const std::string data(50'000, 'd');
  EXPECT_EQ(Must(ConnectStub().Say(MakeBlob(data), {.metadata = large, .response_metadata = &response})).data(), data);
  EXPECT_EQ(response.trailing, large);
}

TEST_F(MetadataTest, InvalidOneIsNotSent) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  const std::pair<Metadata, std::string> cases[] = {{{{"Upper", "x"}}, "\"Upper\""},
                                                    {{{"", "x"}}, "empty key"},
                                                    {{{"fine", "x"}, {"text", "line\nbreak"}}, "\"text\""}};
  for (const auto& [metadata, part] : cases) {
    const absl::Status status = stub.Say(MakeBlob(""), {.metadata = metadata}).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kInvalidArgument, part));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  }
}

TEST_F(MetadataTest, TooMuchIsALimitOnBothSides) {
  echo.say = [](ServerContext& context, const Blob& request, Blob&) {
    if (!request.data().empty()) context.trailing_metadata().Add("huge", std::string(200'000, 'x'));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  const absl::Status sent = stub.Say(MakeBlob(""), {.metadata = {{"huge", std::string(200'000, 'x')}}}).status();
  EXPECT_THAT(sent, FailsWith(StatusCode::kResourceExhausted, "131072"));
  EXPECT_EQ(ExecStateOf(sent), ExecState::kNotSent);
  const absl::Status answered = stub.Say(MakeBlob("huge")).status();
  EXPECT_THAT(answered, FailsWith(StatusCode::kResourceExhausted, "131072"));
  EXPECT_EQ(ExecStateOf(answered), ExecState::kExecuted);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
}

TEST_F(MetadataTest, InvalidOneOfAHandlerEndsItsCall) {
  echo.say = [](ServerContext& context, const Blob&, Blob&) {
    context.initial_metadata().Add("Bad Key", "x");
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const absl::Status status = ConnectStub().Say(MakeBlob("")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "Bad Key"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
}

}  // namespace
}  // namespace nearcall::integration
