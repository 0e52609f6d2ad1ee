// SPDX-License-Identifier: Apache-2.0

// A stream that no handler has seen is opened again over the next connection, and none runs twice.
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "measured.h"
#include "raw_peer.h"
#include "stream_fixture.h"
#include "wire/envelope.h"
#include "wire/header.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using wire::FrameHeader;
using wire::FrameKind;

// A channel to a server that says that it goes away when a stream has been opened.
class StreamRepeatTest : public StreamTest {
 protected:
  StreamRepeatTest() {
    door_.emplace(Address());
    auto connected = std::async(std::launch::async, [this] { return Connect(); });
    former_ = std::make_unique<RawServer>(*door_);
    channel_ = connected.get();
    streams.chat = [this](ServerContext& context, ChatStream& stream) {
      ++runs_;
      stream.Write(MakeBlob("hello"));
      return ChatBack(context, stream);
    };
    streams.down = [this](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
      ++runs_;
      return CountDown(context, request, writer);
    };
    streams.up = [this](ServerContext& context, ServerReader<Blob>& reader, Blob& reply) {
      ++runs_;
      return CountUp(context, reader, reply);
    };
  }

  // The name is free for a successor.
  void GiveUpTheName() { door_.reset(); }

  // The request of a stream that has just been opened.
  FrameHeader Opened() { return former_->Receive(); }

  FrameHeader AnswerTo(const FrameHeader& opening, FrameKind kind, size_t size) {
    FrameHeader header = former_->Header(kind, size);
    header.call_id = opening.call_id;
    header.method_id = opening.method_id;
    header.sequence = ++sent_;
    return header;
  }

  void Refuse(const FrameHeader& opening, StatusCode code = StatusCode::kUnavailable) {
    const std::string envelope = Must(
        wire::EncodeReplyEnvelope({.status = absl::Status(code, "going away"), .exec_state = ExecState::kNotStarted}));
    FrameHeader header = AnswerTo(opening, FrameKind::kReply, envelope.size());
    header.status = static_cast<uint8_t>(code);
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    header.flags |= wire::kEnvelope;
    std::string frame(wire::kHeaderSize, '\0');
    frame += envelope;
    const std::span<std::byte> bytes(reinterpret_cast<std::byte*>(frame.data()), frame.size());
    wire::EncodeHeader(header, bytes.first(wire::kHeaderSize));
    former_->Send(bytes);
  }

  // The former server refuses the stream, and a successor is there.
  std::unique_ptr<Server> TakeOver() {
    const FrameHeader opening = Opened();
    GiveUpTheName();
    auto server = StartServer();
    Refuse(opening);
    return server;
  }

  // How a server stream with so large a request ends that the former server refuses; a successor is there.
  absl::Status RefuseDown(size_t size) {
    auto ended = std::async(std::launch::async, [this, size] { return stub().Down(Element(7, size))->Finish(); });
    const FrameHeader opening = Opened();
    for (size_t come = opening.payload_size; come < opening.message_size;) come += Opened().payload_size;
    GiveUpTheName();
    const auto server = StartServer();
    Refuse(opening);
    return ended.get();
  }

  Streams::Stub stub() const { return Streams::Stub(channel_); }

  // Over FIFOs the monitor reads for who is away, and may be just taking the refusal: as in the test of both.
  static bool OthersRead() { return !TransportUnderTest().MeetsAtSocket(); }

  std::optional<RawDoor> door_;
  std::unique_ptr<RawServer> former_;
  std::shared_ptr<Channel> channel_;
  std::atomic<int> runs_{0};
  uint64_t sent_ = 0;
};

TEST_F(StreamRepeatTest, RequestOfAServerStreamIsSentAgain) {
  const auto stream = stub().Down(MakeBlob("3"));
  const auto server = TakeOver();
  std::vector<std::string> elements;
  for (const Blob& element : *stream) elements.push_back(element.data());
  EXPECT_THAT(elements, ::testing::ElementsAre("0", "1", "2"));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(runs_, 1);
}

TEST_F(StreamRepeatTest, LargeRequestIsSentAgain) {
  streams.down = [this](ServerContext&, const Blob& request, ServerWriter<Blob>&) {
    ++runs_;
    EXPECT_TRUE(IsElement(request, 7, 200'000));
    return absl::OkStatus();
  };
  EXPECT_TRUE(RefuseDown(200'000).ok());
  EXPECT_EQ(runs_, 1);
}

TEST_F(StreamRepeatTest, FinishAndWaitForInitialMetadataOpenItAgainToo) {
  const auto stream = stub().Down(MakeBlob("3"));
  const auto server = TakeOver();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(runs_, 1);
  const auto other = stub().Chat();
  EXPECT_TRUE(other->WaitForInitialMetadata());
}

TEST_F(StreamRepeatTest, InitialMetadataAreThoseOfTheServerThatRunsIt) {
  streams.chat = [](ServerContext& context, ChatStream& stream) {
    context.initial_metadata().Add("who", "successor");
    context.SendInitialMetadata();
    return ChatBack(context, stream);
  };
  const auto stream = stub().Chat();
  const auto server = TakeOver();
  ASSERT_TRUE(stream->WaitForInitialMetadata());
  EXPECT_EQ(stream->metadata().initial, (Metadata{{"who", "successor"}}));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamRepeatTest, WhoReadsFirstHasHisStreamOpenedAgain) {
  const auto stream = stub().Chat();
  const auto server = TakeOver();
  Blob element;
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.data(), "hello");
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.data(), "x");
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(runs_, 1);
}

TEST_F(StreamRepeatTest, WhoWritesFirstLooksBeforeWhetherItWasRefused) {
  if (OthersRead()) GTEST_SKIP() << TransportName() << ": somebody else may be reading";
  const auto stream = stub().Up();
  const auto server = TakeOver();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(stream->Write(MakeBlob("four")));
  EXPECT_THAT(Must(stream->Finish()).data(), ::testing::StartsWith("3 elements"));
  EXPECT_EQ(runs_, 1);
}

TEST_F(StreamRepeatTest, HalfCloseIsSentToTheSuccessor) {
  if (OthersRead()) GTEST_SKIP() << TransportName() << ": somebody else may be reading";
  const auto stream = stub().Up();
  const auto server = TakeOver();
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_THAT(Must(stream->Finish()).data(), ::testing::StartsWith("0 elements"));
}

// Both find that it was refused; one opens it, the other goes on with that. Or the writer was faster than the refusal,
// which the reader is just taking: then no server has what was written.
TEST_F(StreamRepeatTest, ReaderAndWriterFindTheSameSuccessor) {
  const auto stream = stub().Chat();
  const auto server = TakeOver();
  auto writing = std::async(std::launch::async, [&] { return stream->Write(MakeBlob("x")); });
  Blob element;
  const bool found = stream->Read(&element);
  const bool written = writing.get();
  if (!found) {
    EXPECT_EQ(stream->Finish().code(), StatusCode::kUnavailable);
    EXPECT_EQ(runs_, 0);
    return;
  }
  EXPECT_EQ(element.data(), "hello");
  EXPECT_TRUE(written);
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.data(), "x");
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(runs_, 1);
}

// --- what is not repeated ---

TEST_F(StreamRepeatTest, WhatWasWrittenIsNotKept) {
  const auto stream = stub().Chat();
  const FrameHeader opening = Opened();
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  GiveUpTheName();
  const auto server = StartServer();
  Refuse(opening);
  EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kUnavailable, "going away"));
  EXPECT_EQ(ExecStateOf(stream->Finish()), ExecState::kNotStarted);
  EXPECT_EQ(runs_, 0);
}

TEST_F(StreamRepeatTest, ALargerOpeningIsNotKept) {
  EXPECT_EQ(ExecStateOf(RefuseDown(300'000)), ExecState::kNotStarted);
  EXPECT_EQ(runs_, 0);
}

TEST_F(StreamRepeatTest, AfterAnElementNoServerIsBelieved) {
  const auto stream = stub().Down(MakeBlob("3"));
  const FrameHeader opening = Opened();
  former_->Send(AnswerTo(opening, FrameKind::kMessage, 0));
  Blob element;
  EXPECT_TRUE(stream->Read(&element));
  GiveUpTheName();
  const auto server = StartServer();
  Refuse(opening);
  EXPECT_FALSE(stream->Read(&element));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kUnavailable);
  EXPECT_EQ(runs_, 0);
}

TEST_F(StreamRepeatTest, OtherRefusalsAreTheCallersBusiness) {
  const auto stream = stub().Down(MakeBlob("3"));
  Refuse(Opened(), StatusCode::kResourceExhausted);
  EXPECT_EQ(stream->Finish().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(channel_->state(), ChannelState::kReady);
}

TEST_F(StreamRepeatTest, AServerAtItsLimitIsNotAskedTwice) {
  GiveUpTheName();
  const auto server = StartServer({.max_waiting_handlers = 1});
  const Streams::Stub other = ConnectStreams();
  const auto first = other.Chat();
  ASSERT_TRUE(first->WaitForInitialMetadata());
  const auto second = other.Chat();
  Blob element;
  EXPECT_FALSE(second->Read(&element));
  EXPECT_EQ(second->Finish().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ExecStateOf(second->Finish()), ExecState::kNotStarted);
  EXPECT_EQ(NumberIn(server->DebugString(), "refused: "), 1u);
  EXPECT_TRUE(first->Finish().ok());
}

// --- there is no successor ---

TEST_F(StreamRepeatTest, WithoutASuccessorTheStreamHasEnded) {
  const auto stream = stub().Chat();
  const FrameHeader opening = Opened();
  GiveUpTheName();
  Refuse(opening);
  EXPECT_FALSE(stream->WaitForInitialMetadata());
  Blob element;
  EXPECT_FALSE(stream->Read(&element));
  EXPECT_FALSE(stream->Write(element));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(stream->Finish()), ExecState::kNotSent);
}

// Both ways to cancel, and no deadline that would end the wait.
TEST_F(StreamRepeatTest, CancelEndsTheWaitForASuccessor) {
  std::stop_source stop;
  const auto stream = stub().Chat({.stop_token = stop.get_token(), .wait_for_ready = true});
  const FrameHeader opening = Opened();
  const auto other = stub().Chat({.wait_for_ready = true});
  const FrameHeader other_opening = Opened();
  GiveUpTheName();
  Refuse(opening);
  Refuse(other_opening);
  const auto read = [](auto& from) {
    Blob element;
    return from->Read(&element);
  };
  auto reading = std::async(std::launch::async, [&] { return read(stream); });
  auto other_reading = std::async(std::launch::async, [&] { return read(other); });
  EXPECT_TRUE(Eventually([&] { return channel_->state() == ChannelState::kTransientFailure; }));
  stop.request_stop();
  EXPECT_FALSE(reading.get());
  EXPECT_EQ(stream->Finish().code(), StatusCode::kCancelled);
  other->Cancel();
  EXPECT_FALSE(other_reading.get());
  EXPECT_EQ(other->Finish().code(), StatusCode::kCancelled);
}

TEST_F(StreamRepeatTest, TheDeadlineEndsTheWaitForASuccessor) {
  const auto stream = stub().Down(MakeBlob("3"), {.timeout = absl::Seconds(1), .wait_for_ready = true});
  const FrameHeader opening = Opened();
  GiveUpTheName();
  Refuse(opening);
  EXPECT_EQ(stream->Finish().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(StreamRepeatTest, AStreamWithoutASuccessorMayBeDestroyed) {
  const auto stream = stub().Down(MakeBlob("3"));
  const FrameHeader opening = Opened();
  GiveUpTheName();
  Refuse(opening);
}

// --- a hostile server ---

TEST_F(StreamRepeatTest, AnAnswerBeforeAllOfTheOpeningHasComeIsOne) {
  auto opened = std::async(std::launch::async, [this] { return stub().Down(Element(7, 900'000)); });
  const FrameHeader opening = Opened();
  Refuse(opening, StatusCode::kAborted);
  // What is on its way makes room for the rest, if the client still sends it.
  while (opened.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
    size_t size;
    if (former_->connection().transport->Peek(size) == transport::Transport::ReadState::kFrame) former_->Receive();
  }
  EXPECT_EQ(opened.get()->Finish().code(), StatusCode::kAborted);
}

// --- many ---

class StreamTakeOverTest : public StreamTest {
 protected:
  StreamTakeOverTest() {
    streams.down = [this](ServerContext&, const Blob& request, ServerWriter<Blob>& writer) {
      {
        base::MutexLock lock(mutex_);
        ++runs_[request.data()];
      }
      writer.Write(request);
      return absl::OkStatus();
    };
  }

  // Streams of one thread, one after the other, until the end.
  void OpenStreams(const Streams::Stub& stub, int thread) {
    for (size_t i = 0; !done_; ++i) {
      const std::string name = absl::StrCat(thread, ".", i);
      const auto stream = stub.Down(MakeBlob(name), {.timeout = kLong, .wait_for_ready = true});
      size_t count = 0;
      for (const Blob& element : *stream) count += element.data() == name ? 1 : 100;
      const absl::Status status = stream->Finish();
      EXPECT_TRUE(status.ok()) << name << ": " << status << ", " << static_cast<int>(ExecStateOf(status));
      EXPECT_EQ(count, 1u) << name;
      ++ended_;
    }
  }

  base::Mutex mutex_;
  std::map<std::string, size_t> runs_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> done_{false};
  std::atomic<size_t> ended_{0};
};

TEST_F(StreamTakeOverTest, LosesNoServerStreamAndRunsNoneTwice) {
  auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) threads.emplace_back([&, thread] { OpenStreams(stub, thread); });
  for (size_t i = TortureCount("NEARCALL_TAKE_OVERS", 10); i > 0; --i) {
    const size_t before = ended_;
    EXPECT_TRUE(Eventually([&] { return ended_ > before + 20; }));
    server->Shutdown(absl::Seconds(20));
    auto successor = StartServer();
    server->Wait();
    server = std::move(successor);
  }
  done_ = true;
  for (std::thread& thread : threads) thread.join();
  base::MutexLock lock(mutex_);
  EXPECT_EQ(runs_.size(), ended_);
  for (const auto& [name, count] : runs_) EXPECT_EQ(count, 1u) << name;
}

}  // namespace
}  // namespace nearcall::integration
