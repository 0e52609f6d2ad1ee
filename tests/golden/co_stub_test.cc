// SPDX-License-Identifier: Apache-2.0

// The methods of a generated CoStub begin calls, and what they return is awaited.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "coroutines.h"
#include "fake_channel.h"
#include "one_way.nearcall.pb.h"
#include "streams.nearcall.pb.h"

namespace nearcall {
namespace {

using demo::streams::Reply;
using demo::streams::Request;
using demo::streams::Streams;
using internal::MethodKind;
using ::testing::ElementsAre;
using testing::FakeChannel;
using testing::ForeignCoroutine;
using ::testing::IsEmpty;
using testing::StreamLog;

Request RequestWith(const std::string& text) {
  Request request;
  request.set_text(text);
  return request;
}

// A request or reply with `text`, as serialised.
std::string Wire(const std::string& text) {
  return RequestWith(text).SerializeAsString();
}

class CoStubTest : public ::testing::Test {
 protected:
  void ExpectBegun(const char* full_name, MethodKind kind) {
    EXPECT_STREQ(channel_->info->full_name, full_name);
    EXPECT_EQ(channel_->info->kind, kind);
    EXPECT_EQ(channel_->timeout, absl::Milliseconds(5));
  }

  const CallOptions options_ = {.timeout = absl::Milliseconds(5)};
  std::shared_ptr<FakeChannel> channel_ = std::make_shared<FakeChannel>();
  const std::shared_ptr<StreamLog> log_ = channel_->stream;
  const Streams::CoStub stub_{channel_};
};

// ---- a call with one reply ----

Task<absl::StatusOr<std::string>> Say(const Streams::CoStub& stub, Request request) {
  const absl::StatusOr<Reply> reply = co_await stub.Say(request);
  if (!reply.ok()) co_return reply.status();
  co_return reply->text();
}

TEST_F(CoStubTest, AUnaryCallBeginsBeforeItIsAwaited) {
  const auto call = stub_.Say(RequestWith("hello"), options_);
  ExpectBegun("demo.streams.Streams/Say", MethodKind::kUnary);
  EXPECT_EQ(channel_->sent, Wire("hello"));
  EXPECT_THAT(log_->calls, IsEmpty());
}

TEST_F(CoStubTest, AUnaryCallGivesTheReplyOrTheError) {
  log_->reply = Wire("back");
  EXPECT_EQ(*SyncWait(Say(stub_, RequestWith("hello"))), "back");
  log_->status = absl::UnavailableError("gone");
  EXPECT_EQ(SyncWait(Say(stub_, {})).status(), log_->status);
}

TEST_F(CoStubTest, AUnaryCallThatWasNamedIsAwaitedAsWell) {
  log_->reply = Wire("back");
  const auto both = [&]() -> Task<std::string> {
    auto one = stub_.Say({}, options_);
    auto other = stub_.Say({});
    auto moved = std::move(one);
    co_return (co_await other)->text() + (co_await moved)->text();
  };
  EXPECT_EQ(SyncWait(both()), "backback");
}

TEST_F(CoStubTest, ACoroutineGoesOnWhenTheReplyHasComeAndNotBefore) {
  log_->open = true;
  std::string text;
  Start(Say(stub_, {}), [&](absl::StatusOr<std::string> reply) { text = *reply; });
  log_->RunReader();  // for nothing
  EXPECT_EQ(text, "");
  EXPECT_THAT(log_->calls, ElementsAre("wait", "wait"));
  log_->reply = Wire("back");
  log_->open = false;
  log_->RunReader();
  EXPECT_EQ(text, "back");
}

TEST_F(CoStubTest, ACoroutineDoesNotSuspendForWhatHasComeMeanwhile) {
  log_->open = true;
  log_->before_wait = [&] { log_->open = false; };
  log_->reply = Wire("back");
  EXPECT_EQ(*SyncWait(Say(stub_, {})), "back");
  EXPECT_THAT(log_->calls, ElementsAre("Finish"));
}

TEST_F(CoStubTest, AnotherThreadMayOvertakeTheCoroutineThatSuspends) {
  std::thread other;
  log_->open = true;
  log_->once_left = [&] {
    log_->open = false;
    other = std::thread([this] { log_->RunReader(); });
    other.join();
  };
  log_->reply = Wire("back");
  EXPECT_EQ(*SyncWait(Say(stub_, {})), "back");
}

TEST_F(CoStubTest, ADroppedCallEndsBeforeItsChannel) {
  auto channel = std::make_shared<FakeChannel>();
  const std::shared_ptr<StreamLog> log = channel->stream;
  std::optional<UnaryCall<Reply>> call = Streams::CoStub(std::move(channel)).Say({});
  EXPECT_THAT(log->ends, IsEmpty());
  call.reset();
  EXPECT_THAT(log->ends, ElementsAre("call", "channel"));
}

TEST_F(CoStubTest, ACoroutineThatIsDestroyedWaitsNoMore) {
  struct Nobody : internal::Continuation {
    Nobody() : Continuation([](Continuation&) { FAIL(); }) {}
  } nobody;
  log_->open = true;
  {
    const auto task = Say(stub_, {});
    task.promise().StartNow(nobody);
    EXPECT_NE(log_->reader, nullptr);
    EXPECT_THAT(log_->ends, IsEmpty());
  }
  EXPECT_EQ(log_->reader, nullptr);
  EXPECT_THAT(log_->calls, ElementsAre("wait", "Withdraw"));
  EXPECT_THAT(log_->ends, ElementsAre("call"));
}

TEST_F(CoStubTest, ACallCanBeCancelledWhileItIsAwaited) {
  log_->open = true;
  auto call = stub_.Say({});
  absl::Status status;
  const auto wait = [&]() -> Task<> { status = (co_await call).status(); };
  Start(wait());
  call.Cancel();
  EXPECT_TRUE(status.ok());
  log_->RunReader();
  EXPECT_EQ(status, absl::CancelledError());
}

TEST_F(CoStubTest, AForeignCoroutineAwaitsCalls) {
  log_->open = true;
  log_->reply = Wire("back");
  std::string text;
  const auto foreign = [&]() -> ForeignCoroutine { text = (co_await stub_.Say({}))->text(); };
  foreign();
  log_->open = false;
  log_->RunReader();
  EXPECT_EQ(text, "back");
}

template <typename Options>
constexpr bool kTakes = requires(const Streams::CoStub& stub, Options options) {
  stub.Say(Request(), static_cast<Options>(options));
};

TEST_F(CoStubTest, OptionsWithoutANameAreRefusedOnlyWhereTheyAreMiscompiled) {
#if defined(__clang__) || __GNUC__ >= 13
  constexpr bool kSafe = true;
#else
  constexpr bool kSafe = false;
#endif
  static_assert(kTakes<const CallOptions&> && kTakes<CallOptions&>);
  static_assert(kTakes<CallOptions&&> == kSafe);
}

TEST_F(CoStubTest, AOneWayCallSaysWhetherItsHandlerHasStarted) {
  const demo::one_way::Journal::CoStub journal(channel_);
  log_->status = absl::UnavailableError("gone");
  const auto note = [&]() -> Task<absl::Status> {
    demo::one_way::Line line;
    line.set_text("hello");
    co_return co_await journal.Note(line, options_);
  };
  EXPECT_EQ(SyncWait(note()), log_->status);
  ExpectBegun("demo.one_way.Journal/Note", MethodKind::kOneWay);
  EXPECT_EQ(channel_->sent, Wire("hello"));
  EXPECT_EQ(log_->finished_with, nullptr);
}

// ---- streams ----

// All elements of `reader`, and then its status.
Task<absl::Status> ReadAll(CoReader<Reply> reader, std::vector<std::string>& texts) {
  while (const std::optional<Reply> reply = co_await reader.Read()) texts.push_back(reply->text());
  co_return co_await reader.Finish();
}

TEST_F(CoStubTest, AReaderReadsUntilThereIsNoMore) {
  log_->elements = {Wire("a"), Wire("b")};
  log_->status = absl::DataLossError("half of it");
  std::vector<std::string> texts;
  EXPECT_EQ(SyncWait(ReadAll(stub_.Down(RequestWith("hello"), options_), texts)), log_->status);
  ExpectBegun("demo.streams.Streams/Down", MethodKind::kServerStreaming);
  EXPECT_EQ(channel_->sent, Wire("hello"));
  EXPECT_THAT(texts, ElementsAre("a", "b"));
  EXPECT_EQ(log_->finished_with, nullptr);
}

TEST_F(CoStubTest, AReaderWaitsForEachElementAndForTheStatus) {
  log_->open = true;
  std::vector<std::string> texts;
  std::optional<absl::Status> status;
  Start(ReadAll(stub_.Down({}), texts), [&](absl::Status end) { status = std::move(end); });
  log_->elements = {Wire("a")};
  log_->RunReader();
  EXPECT_THAT(texts, ElementsAre("a"));
  log_->elements = {Wire("b"), Wire("c")};
  log_->RunReader();
  EXPECT_THAT(texts, ElementsAre("a", "b", "c"));
  EXPECT_FALSE(status.has_value());
  log_->open = false;
  log_->RunReader();
  EXPECT_TRUE(status->ok());
}

TEST_F(CoStubTest, AWriterWritesAndGetsTheReply) {
  log_->reply = Wire("both");
  const auto write = [&]() -> Task<std::string> {
    auto writer = stub_.Up(options_);
    EXPECT_TRUE(co_await writer.Write(RequestWith("a")));
    EXPECT_TRUE(co_await writer.WriteLast(RequestWith("b")));
    EXPECT_TRUE(co_await writer.WritesDone());
    writer.WritesDone();
    const absl::StatusOr<Reply> reply = co_await writer.Finish();
    co_return reply->text();
  };
  EXPECT_EQ(SyncWait(write()), "both");
  ExpectBegun("demo.streams.Streams/Up", MethodKind::kClientStreaming);
  EXPECT_FALSE(channel_->has_request);
  EXPECT_THAT(log_->calls,
              ElementsAre("Write " + Wire("a"), "WriteLast " + Wire("b"), "WritesDone", "WritesDone", "Finish"));
}

TEST_F(CoStubTest, AWriterWaitsForRoomAndKeepsTheElementUntilThen) {
  log_->full = true;
  bool written = false;
  const auto write = [&]() -> Task<> {
    auto writer = stub_.Up();
    written = co_await writer.Write(RequestWith("an element that is not so short as to lie on the stack"));
  };
  Start(write());
  EXPECT_FALSE(written);
  log_->full = false;
  log_->RunWriter();
  EXPECT_TRUE(written);
  EXPECT_EQ(log_->calls.back(), "Write " + Wire("an element that is not so short as to lie on the stack"));
}

TEST_F(CoStubTest, AWriterHandsOverTheErrorInPlaceOfAReply) {
  log_->may_write = false;
  log_->status = absl::UnavailableError("gone");
  const auto write = [&]() -> Task<absl::Status> {
    auto writer = stub_.Up();
    EXPECT_FALSE(co_await writer.Write({}));
    EXPECT_FALSE(co_await writer.WriteLast({}));
    EXPECT_FALSE(co_await writer.WritesDone());
    co_return (co_await writer.Finish()).status();
  };
  EXPECT_EQ(SyncWait(write()), log_->status);
}

TEST_F(CoStubTest, AReaderWriterDoesBothAtTheSameTime) {
  log_->open = log_->full = true;
  auto chat = stub_.Chat(options_);
  ExpectBegun("demo.streams.Streams/Chat", MethodKind::kBidiStreaming);
  std::vector<std::string> texts;
  const auto read = [&]() -> Task<> {
    Reply reply;
    while (co_await chat.Read(&reply)) texts.push_back(reply.text());
    EXPECT_TRUE((co_await chat.Finish()).ok());
  };
  const auto write = [&]() -> Task<> {
    EXPECT_TRUE(co_await chat.Write(RequestWith("a")));
    EXPECT_TRUE(co_await chat.WriteLast(RequestWith("b")));
  };
  Start(read());
  Start(write());
  EXPECT_NE(log_->reader, nullptr);
  EXPECT_NE(log_->writer, nullptr);
  log_->full = false;
  log_->RunWriter();
  log_->elements = {Wire("c")};
  log_->RunReader();
  EXPECT_THAT(texts, ElementsAre("c"));
  log_->open = false;
  log_->RunReader();
  EXPECT_THAT(log_->calls, ElementsAre("wait", "wait", "Write " + Wire("a"), "WriteLast " + Wire("b"), "Read", "wait",
                                       "Read", "Finish"));
}

TEST_F(CoStubTest, AllCanBeCancelledAndHaveMetadata) {
  auto call = stub_.Say({});
  auto reader = stub_.Down({});
  auto writer = stub_.Up();
  auto chat = stub_.Chat();
  const auto wait = [](auto& any) -> Task<bool> { co_return co_await any.WaitForInitialMetadata(); };
  EXPECT_TRUE(SyncWait(wait(call)));
  EXPECT_TRUE(SyncWait(wait(reader)));
  call.Cancel();
  reader.Cancel();
  writer.Cancel();
  chat.Cancel();
  EXPECT_FALSE(SyncWait(wait(writer)));
  EXPECT_FALSE(SyncWait(wait(chat)));
  for (const ResponseMetadata* metadata :
       {&call.metadata(), &reader.metadata(), &writer.metadata(), &chat.metadata()}) {
    EXPECT_EQ(metadata, &log_->metadata);
  }
  log_->open = true;
  Start(wait(reader), [](bool has_come) { EXPECT_TRUE(has_come); });
  log_->status = absl::OkStatus();
  log_->elements = {Wire("a")};
  log_->RunReader();
  EXPECT_EQ(log_->calls.back(), "InitialMetadata");
}

TEST_F(CoStubTest, AMillionElementsNeedNoStack) {
  constexpr int kMany = 1'000'000;
  const auto count = [](CoReader<Reply> reader) -> Task<int> {
    int read = 0;
    for (Reply reply; co_await reader.Read(&reply);) ++read;
    co_return read;
  };
  log_->elements.resize(kMany);
  EXPECT_EQ(SyncWait(count(stub_.Down({}))), kMany);
  log_->calls.clear();
  log_->open = true;
  int read = 0;
  Start(count(stub_.Down({})), [&](int value) { read = value; });
  for (int i = 0; i < kMany; ++i) {
    log_->elements.emplace_back();
    log_->RunReader();
  }
  log_->open = false;
  log_->RunReader();
  EXPECT_EQ(read, kMany);
}

// ---- rules ----

using CoStubDeathTest = CoStubTest;

TEST_F(CoStubDeathTest, ACallIsAwaitedOnce) {
  const auto twice = [&]() -> Task<> {
    auto call = stub_.Say({});
    static_cast<void>(co_await call);
    static_cast<void>(co_await call);
  };
  EXPECT_DEATH(SyncWait(twice()), "a UnaryCall is awaited once");
}

TEST_F(CoStubDeathTest, OneCoroutineReadsAtATime) {
  log_->open = true;
  auto reader = stub_.Down({});
  const auto read = [&]() -> Task<> { static_cast<void>(co_await reader.Read()); };
  Start(read());
  EXPECT_DEATH(Start(read()), "one coroutine at a time");
  log_->open = false;
  log_->RunReader();
}

TEST_F(CoStubDeathTest, AStreamOutlivesWhatIsAwaitedOfIt) {
  log_->open = true;
  auto reader = std::make_unique<CoReader<Reply>>(stub_.Down({}));
  const auto read = [&]() -> Task<> { static_cast<void>(co_await reader->Read()); };
  Start(read());
  EXPECT_DEATH(reader.reset(), "outlives what is awaited of it");
  EXPECT_DEATH(static_cast<void>(CoReader<Reply>(std::move(*reader))), "");
  log_->open = false;
  log_->RunReader();
}

}  // namespace
}  // namespace nearcall
