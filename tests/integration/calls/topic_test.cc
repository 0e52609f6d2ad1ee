// SPDX-License-Identifier: Apache-2.0

// One to many over server streaming (nearcall/topic.h).
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "co_service.h"
#include "driven_server.h"
#include "measured.h"
#include "nearcall/topic.h"
#include "stream_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr char kMissing[] = "missing ";

// What a subscriber asks for: what becomes of it when it is behind, and how many messages may wait.
SubscriptionOptions<Blob> OptionsOf(const Blob& request) {
  const std::pair<std::string, WhenBehind> known[] = {{"oldest", WhenBehind::kDropOldest},
                                                      {"latest", WhenBehind::kLatestOnly},
                                                      {"disconnect", WhenBehind::kDisconnect},
                                                      {"block", WhenBehind::kBlockPublisher}};
  SubscriptionOptions<Blob> options;
  for (const auto& [name, when_behind] : known) {
    if (absl::StartsWith(request.data(), name)) options.when_behind = when_behind;
  }
  options.max_queued_messages = 8;
  options.notice = [](uint64_t dropped) { return MakeBlob(absl::StrCat(kMissing, dropped)); };
  return options;
}

class TopicTest : public IntegrationTest {
 protected:
  TopicTest() {
    streams_.down = [this](ServerContext& context, const Blob& request, CoServerWriter<Blob>& writer) {
      return topic_.Serve(context, writer, OptionsOf(request));
    };
    ServerOptions options{.expected_clients = 48, .log_sink = log.sink()};
    server_ = StartInStyle(std::move(options), [this](ServerOptions styled) {
      return Must(ServerBuilder(std::move(styled)).Listen(Address()).Register(&streams_).Start());
    });
  }

  void AwaitSubscribers(size_t count) {
    EXPECT_TRUE(Eventually([&] { return topic_.subscribers() == count; })) << topic_.subscribers();
  }

  // As many as are published; what is read is checked.
  struct Read {
    size_t messages = 0;
    size_t missing = 0;
    bool in_order = true;
    absl::Status status;
    Metadata trailing;
  };
  // Reads all of the messages that PublishMany() publishes, and counts those that are said to be missing.
  static Read ReadAll(ClientReader<Blob>& stream) {
    Read read;
    for (const Blob& blob : stream) {
      absl::string_view text = blob.data();
      size_t missing = 0;
      if (absl::ConsumePrefix(&text, kMissing)) {
        read.in_order = absl::SimpleAtoi(text, &missing) && read.in_order;
        read.missing += missing;
      } else {
        read.in_order = read.in_order && IsElement(blob, read.messages + read.missing, blob.data().size());
        ++read.messages;
      }
    }
    read.status = stream.Finish();
    read.trailing = stream.metadata().trailing;
    return read;
  }
  void PublishMany(size_t count, size_t size) {
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(topic_.Publish(Element(i, size)), absl::OkStatus());
  }

  Topic<Blob> topic_;
  CoStreamService streams_;
  std::unique_ptr<Server> server_;  // uses the others
};

TEST_F(TopicTest, EachSubscriberReadsAllInOrder) {
  const Streams::Stub stub(Connect());
  std::vector<std::thread> readers;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] {
      const auto stream = stub.Down(MakeBlob("block"), InTime());
      const Read read = ReadAll(*stream);
      EXPECT_EQ(read.status, absl::OkStatus());
      EXPECT_EQ(read.messages, 200u);
      EXPECT_TRUE(read.in_order);
    });
  }
  AwaitSubscribers(8);
  PublishMany(200, 100);
  topic_.Close();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(topic_.subscribers(), 0u);
}

TEST_F(TopicTest, WhoIsBehindIsToldWhatIsMissingAndWhere) {
  const Streams::Stub stub(Connect({.stream_window_bytes = 1000}));
  const auto slow = stub.Down(MakeBlob("oldest"), InTime());
  AwaitSubscribers(1);
  PublishMany(100, 500);
  topic_.Close();
  const Read read = ReadAll(*slow);
  EXPECT_EQ(read.status, absl::OkStatus());
  EXPECT_TRUE(read.in_order);
  EXPECT_EQ(read.messages + read.missing, 100u);
  EXPECT_GT(read.missing, 0u);
  EXPECT_EQ(topic_.dropped(), read.missing);
  EXPECT_EQ(read.trailing, (Metadata{{"nearcall-dropped", absl::StrCat(read.missing)}}));
}

TEST_F(TopicTest, WhoTakesTheLatestOnlyHasTheLast) {
  const Streams::Stub stub(Connect({.stream_window_bytes = 1000}));
  const auto slow = stub.Down(MakeBlob("latest"), InTime());
  AwaitSubscribers(1);
  PublishMany(100, 500);
  topic_.Close();
  const Read read = ReadAll(*slow);
  EXPECT_TRUE(read.in_order);
  EXPECT_EQ(read.messages + read.missing, 100u);
  EXPECT_LE(read.messages, 8u);
}

TEST_F(TopicTest, WhoIsTooFarBehindIsDisconnected) {
  const Streams::Stub stub(Connect({.stream_window_bytes = 1000}));
  const auto slow = stub.Down(MakeBlob("disconnect"), InTime());
  AwaitSubscribers(1);
  PublishMany(100, 500);
  EXPECT_EQ(topic_.disconnected(), 1u);
  const Read read = ReadAll(*slow);
  EXPECT_THAT(read.status, FailsWith(StatusCode::kResourceExhausted, "does not keep up"));
  EXPECT_EQ(read.missing, 0u);
  EXPECT_LT(read.messages, 100u);
}

TEST_F(TopicTest, ASubscriptionEndsWithItsClient) {
  auto channel = Connect();
  auto stream = Streams::Stub(channel).Down(MakeBlob("block"), InTime());
  AwaitSubscribers(1);
  stream.reset();
  AwaitSubscribers(0);
  PublishMany(100, 500);  // nobody holds it up
}

TEST_F(TopicTest, ASubscriptionEndsAtItsDeadline) {
  const Streams::Stub stub(Connect());
  const auto stream = stub.Down(MakeBlob("block"), {.timeout = absl::Milliseconds(20)});
  EXPECT_EQ(ReadAll(*stream).status.code(), StatusCode::kDeadlineExceeded);
  AwaitSubscribers(0);
}

TEST_F(TopicTest, AServerThatEndsEndsItsSubscriptions) {
  const Streams::Stub stub(Connect());
  const auto stream = stub.Down(MakeBlob("block"), InTime());
  AwaitSubscribers(1);
  server_->Shutdown(absl::ZeroDuration());
  server_->Wait();
  EXPECT_EQ(ReadAll(*stream).status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(topic_.subscribers(), 0u);
}

// Handlers that are no coroutines: each has a thread.
TEST_F(StreamTest, ATopicIsServedByAThreadToo) {
  Topic<Blob> topic;
  streams.down = [&](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
    return topic.Serve(context, writer, OptionsOf(request));
  };
  const auto server = StartServer({.max_handler_threads = 2});
  const Streams::Stub stub = ConnectStreams();
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      size_t count = 0;
      const auto stream = stub.Down(MakeBlob("block"), InTime());
      for (const Blob& blob : *stream) count += IsElement(blob, count, 100);
      EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kAborted, "over"));
      EXPECT_EQ(count, 100u);
    });
  }
  // They wait without a place among those that run: others are served.
  EXPECT_TRUE(Eventually([&] { return topic.subscribers() == 4; }));
  EXPECT_TRUE(Echo::Stub(Connect()).Say(MakeBlob("hi"), InTime()).ok());
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(topic.Publish(Element(i, 100)), absl::OkStatus());
  topic.Close(absl::AbortedError("over"));
  for (std::thread& reader : readers) reader.join();
}

// --- many ---

// A thousand take their time on a busy machine.
constexpr absl::Duration kVeryLong = absl::Minutes(4);

// `received`: by all who count.
Task<size_t> CountElements(Streams::CoStub stub, size_t size, std::atomic<size_t>* received) {
  const CallOptions options = {.timeout = kVeryLong};
  auto stream = stub.Down(MakeBlob("block"), options);
  size_t count = 0;
  Blob blob;
  while (co_await stream.Read(&blob)) {
    count += IsElement(blob, count, size);
    ++*received;
  }
  const absl::Status status = co_await stream.Finish();
  EXPECT_EQ(status, absl::OkStatus());
  co_return count;
}

class ManySubscribersTest : public TopicTest {
 protected:
  // That read as fast as they can.
  void Subscribe(size_t size, size_t messages) {
    constexpr size_t kPerChannel = 250;
    for (size_t i = 0; i < count_; ++i) {
      if (i % kPerChannel == 0) stubs_.emplace_back(Connect());
      nearcall::Start(CountElements(stubs_.back(), size, &received_), [this, messages](size_t count) {
        EXPECT_EQ(count, messages);
        ++complete_;
      });
    }
    AwaitSubscribers(count_);
  }

  // Each has read to the end.
  void AwaitTheirEnds() {
    const absl::Time end = absl::Now() + kVeryLong;
    while (complete_ != count_ && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_EQ(complete_, count_);
  }

  // Publishes one after the other, each when all have read the one before.
  Measured TimesUntilAllHaveRead(std::string what, size_t messages, size_t size) {
    Measured times(std::move(what));
    for (size_t i = 0; i < messages; ++i) {
      const absl::Time begun = absl::Now();
      EXPECT_EQ(topic_.Publish(Element(published_++, size)), absl::OkStatus());
      while (received_ < published_ * count_ && absl::Now() < begun + kLong) absl::SleepFor(absl::Microseconds(20));
      times.Add(absl::ToDoubleMilliseconds(absl::Now() - begun));
    }
    times.Print("ms");
    return times;
  }

  const size_t count_ = TortureCount("NEARCALL_SUBSCRIBERS", 100);
  size_t published_ = 0;
  std::atomic<size_t> received_{0};
  std::atomic<size_t> complete_{0};
  std::vector<Streams::CoStub> stubs_;
};

// Among many that keep up one does not read at all: it costs its own queue, and the others nothing.
TEST_F(ManySubscribersTest, OneThatDoesNotReadHoldsUpNobodyAndTakesItsOwnShareOfMemory) {
  constexpr size_t kMessages = 100;
  constexpr size_t kSize = 8000;
  Subscribe(kSize, kMessages);
  const auto slow_channel = Connect();
  const auto slow = Streams::Stub(slow_channel).Down(MakeBlob("oldest"), {.timeout = kVeryLong});
  AwaitSubscribers(count_ + 1);
  const int64_t before = ResidentBytes();
  PublishMany(kMessages, kSize);
  const int64_t grown = ResidentBytes() - before;
  topic_.Close();
  AwaitTheirEnds();
  // A copy for each of what waits would be that many times as much. AddressSanitizer keeps 256 MiB of what was freed.
  EXPECT_LT(grown, int64_t{testing::kSanitizers ? 384 : 64} << 20);
  const Read read = ReadAll(*slow);
  EXPECT_EQ(read.messages + read.missing, kMessages);
  EXPECT_GT(read.missing, 0u);
  EXPECT_EQ(topic_.dropped(), read.missing);
}

TEST_F(ManySubscribersTest, OneThatDoesNotReadCostsTheOthersNoTime) {
  constexpr size_t kMessages = 50;
  constexpr size_t kSize = 1000;
  Subscribe(kSize, 2 * kMessages);
  const Measured alone = TimesUntilAllHaveRead("from a message until all have read it", kMessages, kSize);
  const auto slow_channel = Connect({.stream_window_bytes = 1000});
  const auto slow = Streams::Stub(slow_channel).Down(MakeBlob("oldest"), {.timeout = kVeryLong});
  AwaitSubscribers(count_ + 1);
  const Measured beside = TimesUntilAllHaveRead("the same beside one that does not", kMessages, kSize);
  EXPECT_LE(beside.Percentile(0.5), alone.Percentile(0.5) * (Strict() ? 1.5 : 10));
  EXPECT_GT(topic_.dropped(), 0u);
  topic_.Close();
  AwaitTheirEnds();
}

}  // namespace
}  // namespace nearcall::integration
