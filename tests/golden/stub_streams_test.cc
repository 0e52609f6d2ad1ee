// SPDX-License-Identifier: Apache-2.0

// A method of a generated Stub that streams opens a stream, and the stream it returns leads each call to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fake_channel.h"
#include "streams.nearcall.pb.h"

namespace nearcall {
namespace {

using demo::streams::Reply;
using demo::streams::Request;
using internal::MethodKind;
using ::testing::ElementsAre;
using testing::FakeChannel;
using testing::StreamLog;

// A request or reply with `text`, as serialised.
std::string Wire(const std::string& text) {
  Request request;
  request.set_text(text);
  return request.SerializeAsString();
}

Request RequestWith(const std::string& text) {
  Request request;
  request.set_text(text);
  return request;
}

class StubStreamsTest : public ::testing::Test {
 protected:
  void ExpectOpened(const char* full_name, MethodKind kind) {
    EXPECT_STREQ(channel_->info->full_name, full_name);
    EXPECT_EQ(channel_->info->id, internal::MethodId(full_name));
    EXPECT_EQ(channel_->info->kind, kind);
    EXPECT_EQ(channel_->timeout, absl::Milliseconds(5));
  }

  const CallOptions options_ = {.timeout = absl::Milliseconds(5)};
  std::shared_ptr<FakeChannel> channel_ = std::make_shared<FakeChannel>();
  const std::shared_ptr<StreamLog> log_ = channel_->stream;
  const demo::streams::Streams::Stub stub_{channel_};
};

TEST_F(StubStreamsTest, AServerStreamIsOpenedWithTheRequest) {
  const std::unique_ptr<ClientReader<Reply>> reader = stub_.Down(RequestWith("hello"), options_);
  ExpectOpened("demo.streams.Streams/Down", MethodKind::kServerStreaming);
  EXPECT_TRUE(channel_->has_request);
  EXPECT_EQ(channel_->sent, Wire("hello"));
}

TEST_F(StubStreamsTest, AClientStreamIsOpenedWithoutARequest) {
  const std::unique_ptr<ClientWriter<Request, Reply>> writer = stub_.Up(options_);
  ExpectOpened("demo.streams.Streams/Up", MethodKind::kClientStreaming);
  EXPECT_FALSE(channel_->has_request);
}

TEST_F(StubStreamsTest, ABidirectionalStreamIsOpenedWithoutARequest) {
  const std::unique_ptr<ClientReaderWriter<Request, Reply>> both = stub_.Chat(options_);
  ExpectOpened("demo.streams.Streams/Chat", MethodKind::kBidiStreaming);
  EXPECT_FALSE(channel_->has_request);
}

TEST_F(StubStreamsTest, OptionsMayBeLeftOutOrBraces) {
  EXPECT_NE(stub_.Down({}), nullptr);
  EXPECT_NE(stub_.Down({}, {}), nullptr);
  EXPECT_NE(stub_.Up(), nullptr);
  EXPECT_NE(stub_.Up({}), nullptr);
  EXPECT_NE(stub_.Chat(), nullptr);
  EXPECT_NE(stub_.Chat({.timeout = absl::Seconds(1)}), nullptr);
  EXPECT_EQ(channel_->timeout, absl::Seconds(1));
}

TEST_F(StubStreamsTest, AReaderReadsUntilThereIsNoMore) {
  log_->elements = {Wire("a"), Wire("b")};
  log_->status = absl::DataLossError("half of it");
  const auto reader = stub_.Down({});
  Reply reply;
  EXPECT_TRUE(reader->Read(&reply));
  EXPECT_EQ(reply.text(), "a");
  EXPECT_TRUE(reader->Read(&reply));
  EXPECT_EQ(reply.text(), "b");
  EXPECT_FALSE(reader->Read(&reply));
  EXPECT_THAT(log_->read_into, ElementsAre(&reply, &reply));
  EXPECT_EQ(reader->Finish(), log_->status);
  EXPECT_EQ(log_->finished_with, nullptr);
}

TEST_F(StubStreamsTest, AWriterWritesAndGetsTheReply) {
  log_->reply = Wire("both");
  const auto writer = stub_.Up();
  EXPECT_TRUE(writer->Write(RequestWith("a")));
  EXPECT_TRUE(writer->WriteLast(RequestWith("b")));
  EXPECT_TRUE(writer->WritesDone());
  const absl::StatusOr<Reply> reply = writer->Finish();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text(), "both");
  EXPECT_THAT(log_->calls, ElementsAre("Write " + Wire("a"), "WriteLast " + Wire("b"), "WritesDone", "Finish"));
}

TEST_F(StubStreamsTest, AWriterHandsOverTheErrorInPlaceOfAReply) {
  log_->may_write = false;
  log_->status = absl::UnavailableError("gone");
  const auto writer = stub_.Up();
  EXPECT_FALSE(writer->Write({}));
  EXPECT_FALSE(writer->WriteLast({}));
  EXPECT_FALSE(writer->WritesDone());
  EXPECT_EQ(writer->Finish().status(), log_->status);
}

TEST_F(StubStreamsTest, AReaderWriterDoesBoth) {
  log_->elements = {Wire("a")};
  log_->status = absl::AbortedError("enough");
  const auto both = stub_.Chat();
  EXPECT_TRUE(both->Write(RequestWith("b")));
  Reply reply;
  EXPECT_TRUE(both->Read(&reply));
  EXPECT_EQ(reply.text(), "a");
  EXPECT_FALSE(both->Read(&reply));
  EXPECT_TRUE(both->WriteLast(RequestWith("c")));
  EXPECT_TRUE(both->WritesDone());
  EXPECT_EQ(both->Finish(), log_->status);
  EXPECT_EQ(log_->finished_with, nullptr);
  EXPECT_THAT(log_->calls,
              ElementsAre("Write " + Wire("b"), "Read", "Read", "WriteLast " + Wire("c"), "WritesDone", "Finish"));
}

TEST_F(StubStreamsTest, AllCanBeCancelledAndHaveMetadata) {
  const auto reader = stub_.Down({});
  const auto writer = stub_.Up();
  const auto both = stub_.Chat();
  reader->Cancel();
  writer->Cancel();
  both->Cancel();
  EXPECT_THAT(log_->calls, ElementsAre("Cancel", "Cancel", "Cancel"));
  EXPECT_TRUE(reader->WaitForInitialMetadata());
  log_->status = absl::CancelledError();
  EXPECT_FALSE(writer->WaitForInitialMetadata());
  EXPECT_FALSE(both->WaitForInitialMetadata());
  EXPECT_EQ(&reader->metadata(), &log_->metadata);
  EXPECT_EQ(&writer->metadata(), &log_->metadata);
  EXPECT_EQ(&both->metadata(), &log_->metadata);
}

// The text of each element of `range`, which is the one message that they are all read into.
template <typename Range>
std::vector<std::string> TextsOf(Range& range, const StreamLog& log) {
  static_assert(std::ranges::input_range<Range> && !std::ranges::forward_range<Range>);
  static_assert(std::is_same_v<decltype(*range.begin()), const Reply&>);
  std::vector<std::string> texts;
  for (const Reply& reply : range) {
    EXPECT_EQ(&reply, log.read_into.back());
    EXPECT_EQ(&reply, log.read_into.front());
    texts.push_back(reply.text());
  }
  return texts;
}

TEST_F(StubStreamsTest, ARangeHasAllElementsAndCopiesNone) {
  log_->elements = {Wire("a"), Wire("b"), Wire("c")};
  EXPECT_THAT(TextsOf(*stub_.Down({}), *log_), ElementsAre("a", "b", "c"));
  EXPECT_THAT(TextsOf(*stub_.Down({}), *log_), ElementsAre());
}

TEST_F(StubStreamsTest, ARangeHasWhatIsLeft) {
  log_->elements = {Wire("a"), Wire("b"), Wire("c")};
  const auto both = stub_.Chat();
  Reply first;
  ASSERT_TRUE(both->Read(&first));
  log_->read_into.clear();
  EXPECT_THAT(TextsOf(*both, *log_), ElementsAre("b", "c"));
}

// In which order a stream that `open` opens and its channel end, which nothing else holds.
template <typename Open>
std::vector<std::string> EndsOf(Open open) {
  auto channel = std::make_shared<FakeChannel>();
  const std::shared_ptr<StreamLog> log = channel->stream;
  {
    const auto stream = open(demo::streams::Streams::Stub(std::move(channel)));
    EXPECT_THAT(log->ends, ElementsAre());
  }
  return log->ends;
}

TEST_F(StubStreamsTest, AStreamKeepsItsChannelAliveAndEndsBeforeIt) {
  using Stub = demo::streams::Streams::Stub;
  EXPECT_THAT(EndsOf([](const Stub& stub) { return stub.Down({}); }), ElementsAre("stream", "channel"));
  EXPECT_THAT(EndsOf([](const Stub& stub) { return stub.Up(); }), ElementsAre("stream", "channel"));
  EXPECT_THAT(EndsOf([](const Stub& stub) { return stub.Chat(); }), ElementsAre("stream", "channel"));
}

template <typename Stub>
concept HasStreams = requires {
  &Stub::Up;
}
|| requires {
  &Stub::Down;
}
|| requires {
  &Stub::Chat;
};

TEST_F(StubStreamsTest, AnAsyncStubHasUnaryMethodsOnly) {
  static_assert(HasStreams<demo::streams::Streams::Stub>);
  static_assert(!HasStreams<demo::streams::Streams::AsyncStub>);
  absl::Status got;
  channel_->status = absl::UnavailableError("gone");
  demo::streams::Streams::AsyncStub(channel_).Say({},
                                                  [&](const absl::StatusOr<Reply>& reply) { got = reply.status(); });
  EXPECT_EQ(got, channel_->status);
}

TEST_F(StubStreamsTest, AMethodMayHaveTheNameOfWhatAStreamHas) {
  const demo::streams::Names::Stub stub(channel_);
  Request element;
  log_->elements = {Wire("a")};
  EXPECT_TRUE(stub.Read({})->Read(&element));
  EXPECT_STREQ(channel_->info->full_name, "demo.streams.Names/Read");
  EXPECT_TRUE(stub.Write()->Write(element));
  EXPECT_STREQ(channel_->info->full_name, "demo.streams.Names/Write");
  EXPECT_TRUE(stub.Finish()->Finish().ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.streams.Names/Finish");
  EXPECT_NE(stub.ClientReader({}), nullptr);
  EXPECT_STREQ(channel_->info->full_name, "demo.streams.Names/ClientReader");
  EXPECT_NE(stub.delete_(), nullptr);
  EXPECT_STREQ(channel_->info->full_name, "demo.streams.Names/delete");
}

}  // namespace
}  // namespace nearcall
