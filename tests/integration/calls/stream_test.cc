// SPDX-License-Identifier: Apache-2.0

// Streams that end well: each element arrives, once, whole, in order; and what travels beside them.
#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;

// ---- each kind of method ----

TEST_F(StreamTest, ServerSendsElements) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob("3"), InTime());
  std::vector<std::string> got;
  for (const Blob& element : *stream) got.push_back(element.data());
  EXPECT_THAT(got, ElementsAre("0", "1", "2"));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, ClientSendsElements) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Up(InTime());
  for (const size_t size : {3u, 0u, 4u}) EXPECT_TRUE(stream->Write(Element(0, size)));
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_EQ(Must(stream->Finish()).data(), "3 elements, 7 B");
}

TEST_F(StreamTest, BothSendElements) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  Blob reply;
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(stream->Write(Element(i, i)));
    ASSERT_TRUE(stream->Read(&reply));
    EXPECT_TRUE(IsElement(reply, i, i));
  }
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, MayBeEmpty) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  Blob reply;
  const auto down = stub.Down(MakeBlob("0"), InTime());
  EXPECT_FALSE(down->Read(&reply));
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_EQ(Must(stub.Up(InTime())->Finish()).data(), "0 elements, 0 B");
  EXPECT_TRUE(stub.Chat(InTime())->Finish().ok());
}

TEST_F(StreamTest, FinishHalfCloses) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto up = stub.Up(InTime());
  EXPECT_TRUE(up->Write(MakeBlob("x")));
  EXPECT_EQ(Must(up->Finish()).data(), "1 elements, 1 B");
  const auto chat = stub.Chat(InTime());
  EXPECT_TRUE(chat->Write(MakeBlob("x")));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(StreamTest, WriteLastIsTheLast) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto up = stub.Up(InTime());
  EXPECT_TRUE(up->Write(MakeBlob("first")));
  EXPECT_TRUE(up->WriteLast(MakeBlob("last")));
  EXPECT_FALSE(up->Write(MakeBlob("too late")));
  EXPECT_EQ(Must(up->Finish()).data(), "2 elements, 9 B");
  const auto chat = stub.Chat(InTime());
  EXPECT_TRUE(chat->WriteLast(MakeBlob("only")));
  std::vector<std::string> got;
  for (const Blob& element : *chat) got.push_back(element.data());
  EXPECT_THAT(got, ElementsAre("only"));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(StreamTest, LastElementMayBeLarge) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  EXPECT_TRUE(stream->WriteLast(Element(1, 1 << 20)));
  Blob reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(IsElement(reply, 1, 1 << 20));
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, NothingIsWrittenAfterWritesDone) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Write(MakeBlob("too late")));
  EXPECT_FALSE(stream->WriteLast(MakeBlob("too late")));
  EXPECT_FALSE(stream->WritesDone());
  std::vector<std::string> got;
  for (const Blob& element : *stream) got.push_back(element.data());
  EXPECT_THAT(got, ElementsAre("x"));
  EXPECT_TRUE(stream->Finish().ok()) << "what cannot be written changes no status";
}

TEST_F(StreamTest, NothingIsReadAfterTheEnd) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob("1"), InTime());
  Blob reply;
  EXPECT_TRUE(stream->Read(&reply));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

// The handler may go on after the client's half-close for as long as it likes.
TEST_F(StreamTest, ServerMaySendAfterTheHalfClose) {
  streams.chat = [](ServerContext&, ChatStream& stream) {
    std::vector<Blob> all;
    for (const Blob& element : stream) all.push_back(element);
    for (size_t i = 0; i < 1000; ++i) {
      if (!stream.Write(all[i % all.size()])) return absl::CancelledError("");
    }
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  for (size_t i = 0; i < 10; ++i) EXPECT_TRUE(stream->Write(Element(i, 1000)));
  EXPECT_TRUE(stream->WritesDone());
  size_t count = 0;
  for (const Blob& reply : *stream) EXPECT_TRUE(IsElement(reply, count++ % 10, 1000));
  EXPECT_EQ(count, 1000u);
  EXPECT_TRUE(stream->Finish().ok());
}

// ---- order and integrity ----

class Integrity : public StreamTest, public ::testing::WithParamInterface<size_t> {
 protected:
  // Around all that is special: nothing, one frame, the window; and many small ones between them.
  static std::vector<size_t> Sizes() {
    const size_t window = GetParam();
    const std::vector<size_t> special = {0, 1, 4096, window - 1, window, window + 1, 1 << 20};
    std::vector<size_t> sizes;
    std::mt19937 random(1);
    for (int round = 0; round < 3; ++round) {
      for (const size_t size : special) {
        sizes.push_back(size);
        for (int i = 0; i < 100; ++i) sizes.push_back(random() % 200);
      }
    }
    return sizes;
  }
  std::unique_ptr<Server> Start() { return StartServer({.stream_window_bytes = GetParam()}); }
  Streams::Stub ConnectSmall() { return ConnectStreams({.stream_window_bytes = GetParam()}); }

  const std::vector<size_t> sizes_ = Sizes();
};

template <typename Stream>
void WriteAll(const std::vector<size_t>& sizes, Stream& stream) {
  for (size_t i = 0; i < sizes.size(); ++i) ASSERT_TRUE(stream.Write(Element(i, sizes[i]))) << i;
}

template <typename Stream>
void ReadAll(const std::vector<size_t>& sizes, Stream& stream) {
  Blob element;
  for (size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_TRUE(stream.Read(&element)) << i;
    ASSERT_TRUE(IsElement(element, i, sizes[i])) << i << ": " << element.data().size() << " B, not " << sizes[i];
  }
  EXPECT_FALSE(stream.Read(&element));
}

TEST_P(Integrity, OfWhatTheServerSends) {
  streams.down = [this](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
    WriteAll(sizes_, writer);
    return absl::OkStatus();
  };
  const auto server = Start();
  const auto stream = ConnectSmall().Down(MakeBlob(""), InTime());
  ReadAll(sizes_, *stream);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_P(Integrity, OfWhatTheClientSends) {
  streams.up = [this](ServerContext&, ServerReader<Blob>& reader, Blob& reply) {
    ReadAll(sizes_, reader);
    reply.set_data("all read");
    return absl::OkStatus();
  };
  const auto server = Start();
  const auto stream = ConnectSmall().Up(InTime());
  WriteAll(sizes_, *stream);
  EXPECT_EQ(Must(stream->Finish()).data(), "all read");
}

TEST_P(Integrity, OfWhatIsSentBackMeanwhile) {
  const auto server = Start();
  const auto stream = ConnectSmall().Chat(InTime());
  std::thread writer([&] {
    WriteAll(sizes_, *stream);
    EXPECT_TRUE(stream->WritesDone());
  });
  ReadAll(sizes_, *stream);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
}

// The smallest, one that is smaller than an element, the usual one.
INSTANTIATE_TEST_SUITE_P(Windows, Integrity, ::testing::Values(1, 100, 64 << 10),
                         [](const auto& windows) { return absl::StrCat("Of", windows.param, "B"); });

// ---- many ----

TEST_F(StreamTest, OneThreadReadsAndAnotherWrites) {
  constexpr size_t kCount = 20'000;
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  std::thread writer([&] {
    for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(stream->Write(Element(i, i % 100)));
    EXPECT_TRUE(stream->WritesDone());
  });
  size_t count = 0;
  for (const Blob& reply : *stream) {
    EXPECT_TRUE(IsElement(reply, count, count % 100)) << count;
    ++count;
  }
  writer.join();
  EXPECT_EQ(count, kCount);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, AHundredShareAChannel) {
  constexpr size_t kStreams = 100;
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  std::vector<std::unique_ptr<ClientReaderWriter<Blob, Blob>>> open;
  for (size_t i = 0; i < kStreams; ++i) open.push_back(stub.Chat(InTime()));
  Blob reply;
  for (size_t round = 0; round < 5; ++round) {
    for (size_t i = 0; i < kStreams; ++i) ASSERT_TRUE(open[i]->Write(Element(i + round, 10 * i)));
    for (size_t i = 0; i < kStreams; ++i) {
      ASSERT_TRUE(open[i]->Read(&reply));
      EXPECT_TRUE(IsElement(reply, i + round, 10 * i));
    }
  }
  for (const auto& stream : open) EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(StreamTest, ThreadsWithStreamsAndCallsOfTheirOwnShareAChannel) {
  const auto server = StartServer();
  const auto channel = Connect();
  std::vector<std::thread> threads;
  for (size_t number = 0; number < 8; ++number) {
    threads.emplace_back([&, number] {
      for (size_t round = 0; round < 20; ++round) {
        const auto stream = Streams::Stub(channel).Chat(InTime());
        Blob reply;
        for (size_t i = 0; i < 20; ++i) {
          ASSERT_TRUE(stream->Write(Element(number + i, i * 300)));
          ASSERT_TRUE(stream->Read(&reply));
          ASSERT_TRUE(IsElement(reply, number + i, i * 300));
        }
        EXPECT_TRUE(stream->Finish().ok());
        EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("between")).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(StreamTest, KeepsItsChannelAlive) {
  const auto server = StartServer();
  std::optional<Streams::Stub> stub = ConnectStreams();
  const auto stream = stub->Chat(InTime());
  stub.reset();
  Blob reply;
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  EXPECT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

// ---- beside the elements ----

TEST_F(StreamTest, HandlerKnowsItsCall) {
  Metadata metadata;
  Priority priority = Priority::kNormal;
  absl::Time deadline;
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    metadata = context.client_metadata();
    priority = context.priority();
    deadline = context.deadline();
    return ChatBack(context, stream);
  };
  const absl::Time before = absl::Now();
  const Metadata sent = {{"trace-id", "7f3a"}, {"raw-bin", std::string("\0\xff", 2)}};
  {
    const auto server = StartServer();
    const auto stream = ConnectStreams().Chat({.timeout = kLong, .priority = Priority::kHigh, .metadata = sent});
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_EQ(metadata, sent);
  EXPECT_EQ(priority, Priority::kHigh);
  EXPECT_GT(deadline, before);
  EXPECT_LE(deadline, absl::Now() + kLong);
}

TEST_F(StreamTest, InitialMetadataMayComeBeforeAnyElement) {
  Event may_write;
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    context.initial_metadata().Add("begin", "1");
    context.SendInitialMetadata();
    may_write.Wait();
    stream.Write(MakeBlob("first"));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  EXPECT_TRUE(stream->WaitForInitialMetadata());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
  may_write.Set();
  Blob reply;
  EXPECT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.data(), "first");
  EXPECT_TRUE(stream->WaitForInitialMetadata()) << "they have come";
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
}

TEST_F(StreamTest, InitialMetadataMayBeNoneAndComeAllTheSame) {
  Event may_end;
  streams.chat = [&](ServerContext& context, ChatStream&) {
    context.SendInitialMetadata();
    context.SendInitialMetadata();
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  EXPECT_TRUE(stream->WaitForInitialMetadata());
  EXPECT_TRUE(stream->metadata().initial.empty());
  may_end.Set();
  Blob reply;
  EXPECT_FALSE(stream->Read(&reply)) << "no element came with them";
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, InitialMetadataOfManyFramesComeWithTheFirstElement) {
  const std::string value(60'000, 'x');
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    context.initial_metadata().Add("begin", value);
    context.SendInitialMetadata();
    stream.Write(MakeBlob("first"));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  Blob reply;
  EXPECT_TRUE(stream->Read(&reply));
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", value}}));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, InvalidMetadataOfAHandlerEndTheirCall) {
  streams.down = [&](ServerContext& context, const Blob&, ServerWriter<Blob>& writer) {
    context.initial_metadata().Add("Bad Key", "x");
    EXPECT_FALSE(writer.Write(MakeBlob("first")));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob(""), InTime());
  EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kInternal, "Bad Key"));
}

TEST_F(StreamTest, InitialMetadataComeWithTheFirstElement) {
  streams.down = [&](ServerContext& context, const Blob&, ServerWriter<Blob>& writer) {
    context.initial_metadata().Add("begin", "1");
    writer.Write(MakeBlob("first"));
    context.initial_metadata().Add("too", "late");
    writer.Write(MakeBlob("second"));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob(""), InTime());
  Blob reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.data(), "first");
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
}

TEST_F(StreamTest, WaitingForInitialMetadataTakesNoElement) {
  streams.down = [&](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
    context.initial_metadata().Add("begin", "1");
    return CountDown(context, request, writer);
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob("3"), InTime());
  EXPECT_TRUE(stream->WaitForInitialMetadata());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
  std::vector<std::string> got;
  for (const Blob& element : *stream) got.push_back(element.data());
  EXPECT_THAT(got, ElementsAre("0", "1", "2"));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamTest, InitialMetadataComeWithTheStatusWhereThereIsNoElement) {
  streams.down = [&](ServerContext& context, const Blob&, ServerWriter<Blob>&) {
    context.initial_metadata().Add("begin", "1");
    return absl::AbortedError("no elements");
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob(""), InTime());
  EXPECT_TRUE(stream->WaitForInitialMetadata());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kAborted);
}

TEST_F(StreamTest, InitialMetadataComeWithTheReplyWhereOnlyTheClientStreams) {
  streams.up = [&](ServerContext& context, ServerReader<Blob>& reader, Blob& reply) {
    context.initial_metadata().Add("begin", "1");
    context.SendInitialMetadata();
    return CountUp(context, reader, reply);
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Up(InTime());
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"begin", "1"}}));
}

TEST_F(StreamTest, TrailingMetadataAndStatusComeAfterTheElements) {
  streams.chat = [](ServerContext& context, ChatStream& stream) {
    ChatBack(context, stream).IgnoreError();
    context.trailing_metadata().Add("end-bin", "\xff");
    absl::Status status = absl::DataLossError("as asked");
    status.SetPayload("type.test/detail", absl::Cord("exactly so"));
    return status;
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(stream->Write(Element(i, 5)));
  EXPECT_TRUE(stream->WritesDone());
  size_t count = 0;
  for (const Blob& reply : *stream) EXPECT_TRUE(IsElement(reply, count++, 5));
  EXPECT_EQ(count, 3u);
  const absl::Status status = stream->Finish();
  EXPECT_THAT(status, FailsWith(StatusCode::kDataLoss, "as asked"));
  EXPECT_EQ(status.GetPayload("type.test/detail"), absl::Cord("exactly so"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kExecuted);
  EXPECT_EQ(stream->metadata().trailing, (Metadata{{"end-bin", "\xff"}}));
}

TEST_F(StreamTest, MetadataAreNotLeftForTheNextStream) {
  std::vector<size_t> sizes;
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    sizes.push_back(context.client_metadata().size() + context.trailing_metadata().size());
    context.trailing_metadata().Add("left", "over");
    return ChatBack(context, stream);
  };
  {
    const auto server = StartServer();
    const Streams::Stub stub = ConnectStreams();
    EXPECT_TRUE(stub.Chat({.timeout = kLong, .metadata = {{"a", "b"}}})->Finish().ok());
    EXPECT_TRUE(stub.Chat(InTime())->Finish().ok());
  }
  EXPECT_THAT(sizes, ElementsAre(1, 0));
}

}  // namespace
}  // namespace nearcall::integration
