// SPDX-License-Identifier: Apache-2.0

// A generated Service leads a call that streams to its handler, with a stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ranges>
#include <string>
#include <vector>

#include "fake_call.h"
#include "streams.nearcall.pb.h"

namespace nearcall {
namespace {

using demo::streams::Reply;
using demo::streams::Request;
using internal::MethodKind;
using ::testing::ElementsAre;
using testing::FakeCall;

enum Method : size_t { kSay, kUp, kDown, kChat };

// A request or reply with `text`, as serialised.
std::string Wire(const std::string& text) {
  Reply reply;
  reply.set_text(text);
  return reply.SerializeAsString();
}

// Answers with what it got, and with `status`.
class StreamsImpl final : public demo::streams::Streams::Service {
 public:
  absl::Status Up(ServerContext& context, ServerReader<Request>& reader, Reply& reply) override {
    last_context = &context;
    static_assert(std::ranges::input_range<ServerReader<Request>>);
    for (const Request& request : reader) reply.set_text(reply.text() + request.text());
    return status;
  }
  absl::Status Down(ServerContext& context, const Request& request, ServerWriter<Reply>& writer) override {
    last_context = &context;
    context.SendInitialMetadata();
    Reply reply;
    reply.set_text(request.text());
    could_write = writer.Write(reply) && writer.Write(reply);
    return status;
  }
  absl::Status Chat(ServerContext& context, ServerReaderWriter<Request, Reply>& stream) override {
    last_context = &context;
    Request request;
    if (!stream.Read(&request)) return absl::InvalidArgumentError("say something");
    for (const Request& next : stream) {
      Reply reply;
      reply.set_text(request.text() + next.text());
      could_write = stream.Write(reply);
    }
    return status;
  }

  absl::Status status;
  bool could_write = false;
  const ServerContext* last_context = nullptr;
};

class ServiceStreamsTest : public ::testing::Test {
 protected:
  static void Call(Service& service, Method method, FakeCall& call) {
    service.GetServiceInfo().methods[method].run(service, call);
  }
  void Call(Method method, FakeCall& call) { Call(streams_, method, call); }

  StreamsImpl streams_;
};

TEST_F(ServiceStreamsTest, ListsTheKindsOfItsMethods) {
  std::vector<MethodKind> kinds;
  for (const internal::ServerMethod& method : streams_.GetServiceInfo().methods) kinds.push_back(method.info.kind);
  EXPECT_THAT(kinds, ElementsAre(MethodKind::kUnary, MethodKind::kClientStreaming, MethodKind::kServerStreaming,
                                 MethodKind::kBidiStreaming));
}

TEST_F(ServiceStreamsTest, OptionsReachTheRuntime) {
  const demo::streams::Options::Service options;
  const auto methods = options.GetServiceInfo().methods;
  EXPECT_EQ(methods[0].info.priority, Priority::kLow);
  EXPECT_EQ(methods[1].info.timeout_ns, 500'000'000);
  EXPECT_EQ(methods[2].info.priority, Priority::kHigh);
  EXPECT_TRUE(methods[2].info.may_block);
}

TEST_F(ServiceStreamsTest, AServerStreamHasTheRequestAndEndsWithoutAReply) {
  FakeCall call(Wire("hello"));
  streams_.status = absl::DataLossError("half of it");
  Call(kDown, call);
  EXPECT_EQ(streams_.last_context, &call.context());
  EXPECT_TRUE(call.context().initial_metadata_sent);
  EXPECT_THAT(call.stream().log.calls, ElementsAre("Write " + Wire("hello"), "Write " + Wire("hello")));
  EXPECT_TRUE(streams_.could_write);
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_EQ(call.answer, streams_.status);
}

TEST_F(ServiceStreamsTest, AServerStreamIsLeftAloneWhoseRequestDoesNotParse) {
  FakeCall call("\xff");
  Call(kDown, call);
  EXPECT_EQ(call.answers, 0);
  EXPECT_EQ(streams_.last_context, nullptr);
}

TEST_F(ServiceStreamsTest, AClientStreamIsReadAndEndsWithAReply) {
  FakeCall call("\xff");  // there is no request to parse
  call.stream().log.elements = {Wire("a"), Wire("b")};
  streams_.status = absl::DataLossError("half of it");
  Call(kUp, call);
  EXPECT_EQ(streams_.last_context, &call.context());
  EXPECT_THAT(call.stream().log.calls, ElementsAre("Read", "Read", "Read"));
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answers_without_reply, 0);
  EXPECT_EQ(call.answer, streams_.status);
  EXPECT_EQ(call.reply_bytes, Wire("ab"));
}

TEST_F(ServiceStreamsTest, ABidirectionalStreamIsReadAndWrittenAndEndsWithoutAReply) {
  FakeCall call("\xff");
  call.stream().log.elements = {Wire("a"), Wire("b"), Wire("c")};
  Call(kChat, call);
  EXPECT_EQ(streams_.last_context, &call.context());
  EXPECT_THAT(call.stream().log.calls,
              ElementsAre("Read", "Read", "Write " + Wire("ab"), "Read", "Write " + Wire("ac"), "Read"));
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_TRUE(call.answer.ok());
}

TEST_F(ServiceStreamsTest, AHandlerHearsThatItCannotWrite) {
  FakeCall call(Wire("hello"));
  call.stream().log.may_write = false;
  streams_.could_write = true;
  Call(kDown, call);
  EXPECT_FALSE(streams_.could_write);
}

TEST_F(ServiceStreamsTest, AnswersUnimplementedForWhatIsNotOverridden) {
  demo::streams::Streams::Service none;
  for (const internal::ServerMethod& method : none.GetServiceInfo().methods) {
    FakeCall call("");
    method.run(none, call);
    EXPECT_EQ(call.answers, 1);
    EXPECT_EQ(call.answer,
              absl::UnimplementedError(std::string(method.info.full_name) + " is not implemented by this server"));
    EXPECT_THAT(call.stream().log.calls, ElementsAre());
  }
}

TEST_F(ServiceStreamsTest, AnAsyncServiceHasUnaryMethodsOnly) {
  const demo::streams::Streams::AsyncService some;
  ASSERT_EQ(some.GetServiceInfo().methods.size(), 1u);
  EXPECT_STREQ(some.GetServiceInfo().methods[0].info.full_name, "demo.streams.Streams/Say");
  const demo::streams::Names::AsyncService none;
  EXPECT_STREQ(none.GetServiceInfo().full_name, "demo.streams.Names");
  EXPECT_TRUE(none.GetServiceInfo().methods.empty());
}

}  // namespace
}  // namespace nearcall
