// SPDX-License-Identifier: Apache-2.0

// Streams whose reader is slow, or has less room, or fewer threads, than its writer would like.
#include <atomic>
#include <future>
#include <memory>
#include <vector>

#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr size_t kWindow = 10'000;
constexpr size_t kSize = 1000;

class StreamFlowTest : public StreamTest {
 protected:
  using Chat = std::unique_ptr<ClientReaderWriter<Blob, Blob>>;

  static bool PingPong(ClientReaderWriter<Blob, Blob>& chat, size_t number = 1, size_t size = 10) {
    Blob reply;
    return chat.Write(Element(number, size)) && chat.Read(&reply) && IsElement(reply, number, size);
  }

  // What others do on a connection while one of its streams is stuck.
  static void ExpectOthersGoOn(const std::shared_ptr<Channel>& channel) {
    const Echo::Stub stub(channel);
    const auto chat = Streams::Stub(channel).Chat({.timeout = kLong, .metadata = {{"other", ""}}});
    for (size_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(stub.Say(Element(i, 5000), InTime()).ok());
      ASSERT_TRUE(PingPong(*chat, i, 5000));
    }
    EXPECT_TRUE(chat->Finish().ok());
  }

  // Whether the call was made by ExpectOthersGoOn.
  static bool IsOther(const ServerContext& context) { return context.client_metadata().Get("other").has_value(); }

  static void ExpectRefused(ClientReaderWriter<Blob, Blob>& chat, const std::string& part) {
    Blob reply;
    EXPECT_FALSE(chat.Read(&reply));
    const absl::Status status = chat.Finish();
    EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, part));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted) << status;
  }

  std::atomic<size_t> written_ = 0;
};

// ---- a reader that does not read ----

TEST_F(StreamFlowTest, AHandlerThatDoesNotReadStopsItsClientAndNobodyElse) {
  constexpr size_t kCount = 100;
  ReadOnlyWhenTold();
  streams.chat = ChatBack;
  const auto server = StartServer({.stream_window_bytes = kWindow});
  const auto channel = Connect();
  const auto stream = Streams::Stub(channel).Up(InTime());
  auto writing = std::async(std::launch::async, [&] {
    for (size_t i = 0; i < kCount; ++i, ++written_) ASSERT_TRUE(stream->Write(Element(i, kSize)));
  });
  const Bounds bounds = ElementsIn(kWindow, kSize);
  EXPECT_TRUE(Eventually([&] { return written_ >= bounds.at_least; })) << written_;
  ExpectOthersGoOn(channel);
  ExpectOthersGoOn(Connect());
  EXPECT_LE(written_, bounds.at_most);
  may_read.Set();
  writing.get();
  EXPECT_EQ(Must(stream->Finish()).data(), "100 elements, 100000 B");
}

TEST_F(StreamFlowTest, AClientThatDoesNotReadStopsItsHandlerAndNobodyElse) {
  constexpr size_t kCount = 100;
  streams.down = [this](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
    for (size_t i = 0; i < kCount; ++i, ++written_) {
      if (!writer.Write(Element(i, kSize))) return absl::CancelledError("");
    }
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto channel = Connect({.stream_window_bytes = kWindow});
  const auto stream = Streams::Stub(channel).Down(MakeBlob(""), InTime());
  const Bounds bounds = ElementsIn(kWindow, kSize);
  EXPECT_TRUE(Eventually([&] { return written_ >= bounds.at_least; })) << written_;
  ExpectOthersGoOn(channel);
  ExpectOthersGoOn(Connect());
  EXPECT_LE(written_, bounds.at_most);
  size_t count = 0;
  for (const Blob& element : *stream) EXPECT_TRUE(IsElement(element, count++, kSize));
  EXPECT_EQ(count, kCount);
  EXPECT_TRUE(stream->Finish().ok());
}

// A stream that waits for its reader does not stand in the way of the next one of the same thread.
TEST_F(StreamFlowTest, ManyStreamsThatNobodyReadsAreReadOneAfterTheOther) {
  streams.down = [](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
    for (size_t i = 0; i < 50; ++i) {
      if (!writer.Write(Element(i, kSize))) return absl::CancelledError("");
    }
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams({.stream_window_bytes = kWindow});
  std::vector<std::unique_ptr<ClientReader<Blob>>> open;
  for (int i = 0; i < 30; ++i) open.push_back(stub.Down(MakeBlob(""), InTime()));
  for (auto stream = open.rbegin(); stream != open.rend(); ++stream) {
    size_t count = 0;
    for (const Blob& element : **stream) EXPECT_TRUE(IsElement(element, count++, kSize));
    EXPECT_EQ(count, 50u);
    EXPECT_TRUE((*stream)->Finish().ok());
  }
}

TEST_F(StreamFlowTest, BothWriteAndNobodyReadsUntilACancel) {
  std::atomic<size_t> server_wrote = 0;
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    if (IsOther(context)) return ChatBack(context, stream);
    while (stream.Write(Element(0, kSize))) ++server_wrote;
    if (context.IsCancelled()) saw_cancel.Set();
    return absl::CancelledError("");
  };
  const auto server = StartServer({.stream_window_bytes = kWindow});
  const auto channel = Connect({.stream_window_bytes = kWindow});
  const auto stream = Streams::Stub(channel).Chat(InTime());
  auto writing = std::async(std::launch::async, [&] {
    while (stream->Write(Element(0, kSize))) ++written_;
  });
  const Bounds bounds = ElementsIn(kWindow, kSize);
  EXPECT_TRUE(Eventually([&] { return written_ >= bounds.at_least && server_wrote >= bounds.at_least; }));
  ExpectOthersGoOn(channel);
  EXPECT_LE(written_, bounds.at_most);
  EXPECT_LE(server_wrote, bounds.at_most);
  stream->Cancel();
  writing.get();
  EXPECT_EQ(stream->Finish().code(), StatusCode::kCancelled);
  saw_cancel.Wait();
}

// As above, with elements that no transport can hold: who waits for room reads meanwhile.
TEST_F(StreamFlowTest, BothWriteMuchBeforeTheyRead) {
  constexpr size_t kLarge = 8 << 20;
  streams.chat = [](ServerContext&, ChatStream& stream) {
    EXPECT_TRUE(stream.Write(Element(2, kLarge)));
    Blob element;
    EXPECT_TRUE(stream.Read(&element));
    EXPECT_TRUE(IsElement(element, 1, kLarge));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  EXPECT_TRUE(stream->Write(Element(1, kLarge)));
  Blob reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(IsElement(reply, 2, kLarge));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamFlowTest, FailFastEndsTheCallWhereThereIsNoCredit) {
  ReadOnlyWhenTold();
  const auto server = StartServer({.stream_window_bytes = kWindow});
  const Streams::Stub stub = ConnectStreams();
  const auto stream = stub.Chat({.timeout = kLong, .when_full = WhenFull::kFailFast});
  began.Wait();
  size_t count = 0;
  while (count < 1000 && stream->Write(Element(count, kSize))) ++count;
  EXPECT_LE(count, ElementsIn(kWindow, kSize).at_most);
  EXPECT_GE(count, 1u);
  EXPECT_FALSE(stream->Write(MakeBlob("after the end")));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kResourceExhausted);
  may_read.Set();
  saw_cancel.Wait();
}

// ---- elements that are too large ----

class StreamLimitTest : public StreamFlowTest {
 protected:
  static constexpr size_t kLimit = 10'000;
  static constexpr size_t kTooLarge = 20'000;

  // What the client's element of `kTooLarge` ends with.
  void ExpectTooLargeForWrite(const std::string& part) {
    const auto channel = connected_;
    const auto stream = Streams::Stub(channel).Chat();  // no deadline that would wake the handler
    EXPECT_TRUE(PingPong(*stream, 1, kLimit / 2));
    EXPECT_FALSE(stream->Write(Element(2, kTooLarge)));
    EXPECT_FALSE(stream->Write(MakeBlob("small")));
    Blob reply;
    EXPECT_FALSE(stream->Read(&reply));
    EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kResourceExhausted, part));
    EXPECT_TRUE(Eventually([&] { return ended_ == 1; })) << "the handler is not told";
    ExpectOthersGoOn(channel);
  }

  // The same for one of the handler's.
  void ExpectTooLargeForHandler() {
    const auto channel = connected_;
    const auto stream = Streams::Stub(channel).Down(MakeBlob(""));
    Blob reply;
    EXPECT_TRUE(stream->Read(&reply));
    EXPECT_FALSE(stream->Read(&reply));
    EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kResourceExhausted, "more than max_message_size (10000 B)"));
    EXPECT_TRUE(Eventually([&] { return ended_ == 1; })) << "the handler is not told";
    ExpectOthersGoOn(channel);
  }

  std::unique_ptr<Server> Start(ServerOptions server, ChannelOptions client) {
    streams.chat = [this](ServerContext& context, ChatStream& stream) {
      absl::Status status = ChatBack(context, stream);
      if (!IsOther(context)) ++ended_;
      return status;
    };
    streams.down = [this](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
      EXPECT_TRUE(writer.Write(Element(1, kLimit / 2)));
      // It may be the client that finds it too large.
      while (writer.Write(Element(2, kTooLarge))) continue;
      EXPECT_FALSE(writer.Write(MakeBlob("small")));
      ++ended_;
      return absl::OkStatus();
    };
    auto started = StartServer(std::move(server));
    connected_ = Connect(std::move(client));
    return started;
  }

  std::shared_ptr<Channel> connected_;
  std::atomic<int> ended_ = 0;
};

TEST_F(StreamLimitTest, ElementOverTheClientsOwn) {
  const auto server = Start({}, {.max_message_size = kLimit});
  ExpectTooLargeForWrite("ChannelOptions::max_message_size");
}

TEST_F(StreamLimitTest, ElementOverTheServers) {
  const auto server = Start({.max_message_size = kLimit}, {});
  ExpectTooLargeForWrite("ServerOptions::max_message_size");
}

TEST_F(StreamLimitTest, ElementOfAHandlerOverTheServersOwn) {
  const auto server = Start({.max_message_size = kLimit}, {});
  ExpectTooLargeForHandler();
}

TEST_F(StreamLimitTest, ElementOfAHandlerOverTheClients) {
  const auto server = Start({}, {.max_message_size = kLimit});
  ExpectTooLargeForHandler();
}

// ---- fewer threads than streams ----

TEST_F(StreamFlowTest, HandlersThatWaitLeaveTheirPlacesToOthers) {
  const auto server = StartServer({.max_handler_threads = 2});
  const auto channel = Connect();
  std::vector<Chat> open;
  for (size_t i = 0; i < 20; ++i) {
    open.push_back(Streams::Stub(channel).Chat(InTime()));
    EXPECT_TRUE(PingPong(*open.back())) << i;
  }
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("between"), InTime()).ok());
    EXPECT_TRUE(PingPong(*open[i], i)) << i;
  }
  ExpectOthersGoOn(channel);
  for (const Chat& chat : open) EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(StreamFlowTest, HandlersThatWaitForCreditLeaveTheirPlacesToOthers) {
  streams.down = [](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
    while (writer.Write(Element(0, kSize))) continue;
    return absl::CancelledError("");
  };
  const auto server = StartServer({.max_handler_threads = 2});
  const auto channel = Connect({.stream_window_bytes = kWindow});
  std::vector<std::unique_ptr<ClientReader<Blob>>> open;
  Blob element;
  for (size_t i = 0; i < 10; ++i) {
    open.push_back(Streams::Stub(channel).Down(MakeBlob(""), InTime()));
    EXPECT_TRUE(open.back()->Read(&element));
  }
  ExpectOthersGoOn(channel);
  for (const auto& stream : open) {
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(stream->Read(&element));
    stream->Cancel();
    EXPECT_EQ(stream->Finish().code(), StatusCode::kCancelled);
  }
}

// Whoever goes on needs a place, as if it had just begun.
TEST_F(StreamFlowTest, HandlersThatGoOnTakeTheirPlacesAgain) {
  constexpr size_t kPlaces = 3;  // one of them for urgent calls
  constexpr size_t kStreams = 6;
  Event may_end;
  std::atomic<size_t> running = 0;
  std::atomic<size_t> most = 0;
  streams.chat = [&](ServerContext&, ChatStream& stream) {
    Blob element;
    EXPECT_TRUE(stream.Read(&element));
    const size_t now = ++running;
    for (size_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
    may_end.Wait();
    --running;
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = kPlaces});
  const auto channel = Connect();
  std::vector<Chat> open;
  for (size_t i = 0; i < kStreams; ++i) open.push_back(Streams::Stub(channel).Chat(InTime()));
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "started: ") == kStreams; }));
  for (const Chat& chat : open) EXPECT_TRUE(chat->Write(MakeBlob("go on")));
  EXPECT_TRUE(Eventually([&] {
    return NumberIn(server->DebugString(), "waiting for a handler: low 0, normal ") == kStreams - (kPlaces - 1);
  })) << server->DebugString();
  EXPECT_EQ(most, kPlaces - 1);
  may_end.Set();
  for (const Chat& chat : open) EXPECT_TRUE(chat->Finish().ok());
  EXPECT_LE(most, kPlaces - 1);
}

TEST_F(StreamFlowTest, TheEndOfAConnectionWakesAHandlerThatWaitsForItsPlace) {
  Event may_end;
  Event blocks;
  Event over;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    blocks.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    Blob element;
    EXPECT_FALSE(stream.Read(&element));
    EXPECT_TRUE(context.IsCancelled());
    over.Set();
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = 1});
  auto channel = Connect();
  Chat chat = Streams::Stub(channel).Chat(InTime());
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "started: ") == 1; }));
  // Takes the only place while the other handler waits for its client.
  auto blocking =
      std::async(std::launch::async, [stub = ConnectStub()] { return stub.MayBlock(MakeBlob(""), InTime()); });
  blocks.Wait();
  EXPECT_TRUE(chat->Write(MakeBlob("go on")));
  EXPECT_TRUE(
      Eventually([&] { return NumberIn(server->DebugString(), "waiting for a handler: low 0, normal ") == 1; }));
  chat.reset();
  channel.reset();
  over.Wait();
  may_end.Set();
  EXPECT_TRUE(blocking.get().ok());
}

// ---- more streams than are allowed ----

TEST_F(StreamFlowTest, HandlersBeyondThoseThatMayWaitAreRefused) {
  const auto server = StartServer({.max_waiting_handlers = 2});
  const auto channel = Connect();
  const Streams::Stub stub(channel);
  const auto first = stub.Chat(InTime());
  Chat second = stub.Chat(InTime());
  EXPECT_TRUE(PingPong(*first) && PingPong(*second));
  ExpectRefused(*stub.Chat(InTime()), "max_waiting_handlers");
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 1; }));
  second = stub.Chat(InTime());
  EXPECT_TRUE(PingPong(*second) && PingPong(*first));
}

// Of whichever connection.
TEST_F(StreamFlowTest, StreamsBeyondTheBytesOfAUserAreRefused) {
  const auto server =
      StartServer({.max_message_size = 100'000, .max_total_bytes = 200'000, .stream_window_bytes = 80'000});
  const Streams::Stub stub(Connect());
  const auto first = stub.Chat(InTime());
  Chat second = Streams::Stub(Connect()).Chat(InTime());
  EXPECT_TRUE(PingPong(*first) && PingPong(*second));
  ExpectRefused(*stub.Chat(InTime()), "max_total_bytes");
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 1; }));
  second = stub.Chat(InTime());
  EXPECT_TRUE(PingPong(*second) && PingPong(*first));
}

TEST_F(StreamFlowTest, StreamsBeyondTheBytesOfAConnectionAreRefused) {
  const auto server = StartServer({.stream_window_bytes = 64 << 10, .max_stream_bytes = 128 << 10});
  const auto channel = Connect();
  const Streams::Stub stub(channel);
  const auto first = stub.Chat(InTime());
  Chat second = stub.Chat(InTime());
  EXPECT_TRUE(PingPong(*first) && PingPong(*second));
  ExpectRefused(*stub.Chat(InTime()), "max_stream_bytes");
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
  EXPECT_TRUE(PingPong(*Streams::Stub(Connect()).Chat(InTime()))) << "another connection has its own";
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 1; }));
  second = stub.Chat(InTime());
  EXPECT_TRUE(PingPong(*second) && PingPong(*first));
}

}  // namespace
}  // namespace nearcall::integration
