// SPDX-License-Identifier: Apache-2.0

// How streams end: by the server's status, a cancel, the deadline, the end of the server; and what can still be read.
#include <signal.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr absl::Duration kSoon = absl::Milliseconds(50);

class StreamEndTest : public StreamTest {
 protected:
  using Chat = std::unique_ptr<ClientReaderWriter<Blob, Blob>>;

  // A handler of Chat that says when it begins, and what it reads; `saw_cancel` as in ReadOnlyWhenTold().
  void ChatUntilTheEnd() {
    streams.chat = [this](ServerContext& context, ChatStream& stream) {
      began.Set();
      absl::Status status = ChatBack(context, stream);
      if (context.IsCancelled()) saw_cancel.Set();
      return status;
    };
  }

  // One element there and back: the handler runs, and waits for the next.
  static void ExpectOpen(ClientReaderWriter<Blob, Blob>& chat) {
    Blob reply;
    EXPECT_TRUE(chat.Write(MakeBlob("open")));
    EXPECT_TRUE(chat.Read(&reply));
    EXPECT_EQ(reply.data(), "open");
  }

  // It has ended with `code`, once and for all.
  static void ExpectEnd(ClientReaderWriter<Blob, Blob>& chat, StatusCode code, std::optional<ExecState> state = {}) {
    Blob reply;
    EXPECT_FALSE(chat.Read(&reply));
    EXPECT_FALSE(chat.Write(MakeBlob("after the end")));
    EXPECT_FALSE(chat.WritesDone());
    const absl::Status status = chat.Finish();
    EXPECT_EQ(status.code(), code) << status;
    if (state.has_value()) {
      EXPECT_EQ(ExecStateOf(status), *state) << status;
    }
    chat.Cancel();
    EXPECT_EQ(chat.Finish(), status);
    EXPECT_FALSE(chat.Read(&reply));
  }
};

// ---- the server's status ----

TEST_F(StreamEndTest, ServerMayEndTheCallWhileTheClientWrites) {
  streams.chat = [](ServerContext&, ChatStream& stream) {
    Blob first;
    EXPECT_TRUE(stream.Read(&first));
    return absl::AbortedError("enough");
  };
  streams.up = [](ServerContext&, ServerReader<Blob>& reader, Blob& reply) {
    Blob first;
    EXPECT_TRUE(reader.Read(&first));
    reply = first;
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto chat = stub.Chat(InTime());
  while (chat->Write(Element(0, 1000))) continue;
  ExpectEnd(*chat, StatusCode::kAborted);
  EXPECT_EQ(chat->Finish().message(), "enough");
  const auto up = stub.Up(InTime());
  EXPECT_TRUE(up->Write(Element(1, 1000)));
  while (up->Write(Element(0, 1000))) continue;
  EXPECT_TRUE(IsElement(Must(up->Finish()), 1, 1000)) << "the server had what it needed";
  EXPECT_TRUE(Must(up->Finish()).data().empty()) << "the reply was moved out";
}

TEST_F(StreamEndTest, AHandlerMayStopItsReader) {
  streams.chat = [](ServerContext&, ChatStream& stream) {
    Event has_read;
    std::thread reader([&] {
      Blob element;
      for (size_t count = 0; stream.Read(&element);) {
        if (++count == 2) has_read.Set();
      }
    });
    has_read.Wait();
    stream.StopReading();
    reader.join();
    Blob element;
    EXPECT_FALSE(stream.Read(&element)) << "nor later";
    return absl::AbortedError("enough");
  };
  const auto server = StartServer();
  const auto chat = ConnectStreams().Chat(InTime());
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(chat->Write(Element(i, 100)));
  ExpectEnd(*chat, StatusCode::kAborted);
}

TEST_F(StreamEndTest, WhatCameBeforeTheStatusIsReadable) {
  streams.down = [](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
    absl::Status status = CountDown(context, request, writer);
    return status.ok() ? absl::AbortedError("after all") : status;
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob("100"), InTime());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  size_t count = 0;
  for (const Blob& element : *stream) EXPECT_EQ(element.data(), absl::StrCat(count++));
  EXPECT_EQ(count, 100u);
  EXPECT_THAT(stream->Finish(), FailsWith(StatusCode::kAborted, "after all"));
}

TEST_F(StreamEndTest, FinishDiscardsWhatWasNotRead) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams({.stream_window_bytes = 1000});
  const auto down = stub.Down(MakeBlob("5000"), InTime());
  Blob element;
  EXPECT_TRUE(down->Read(&element));
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_FALSE(down->Read(&element));
  const auto chat = stub.Chat(InTime());
  for (size_t i = 0; i < 10; ++i) EXPECT_TRUE(chat->Write(Element(i, 1000)));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(StreamEndTest, FinishMayBeRepeated) {
  streams.up = [](ServerContext&, ServerReader<Blob>&, Blob&) { return absl::AbortedError("as asked"); };
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto down = stub.Down(MakeBlob("x"), InTime());
  const auto up = stub.Up(InTime());
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(down->Finish(), FailsWith(StatusCode::kInvalidArgument, "not a number"));
    EXPECT_THAT(up->Finish().status(), FailsWith(StatusCode::kAborted, "as asked"));
  }
}

TEST_F(StreamEndTest, AHandlerThatThrowsEndsItsCall) {
  streams.chat = [](ServerContext&, ChatStream& stream) -> absl::Status {
    EXPECT_TRUE(stream.Write(MakeBlob("before")));
    throw std::runtime_error("secret");
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  Blob reply;
  EXPECT_TRUE(stream->Read(&reply));
  ExpectEnd(*stream, StatusCode::kUnknown);
  EXPECT_FALSE(absl::StrContains(stream->Finish().message(), "secret"));
}

TEST_F(StreamEndTest, ElementThatDoesNotParseEndsTheCall) {
  const auto server = StartServer();
  const auto channel = Connect();
  constexpr internal::MethodInfo kChat = internal::MakeMethod(
      "nearcall.integration.Streams/Chat", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false);
  const auto stream = channel->OpenStream(kChat, nullptr, InTime());
  Text text;  // the same field, but what comes back is no UTF-8
  EXPECT_TRUE(stream->Write(MakeBlob("\xff"), false));
  EXPECT_FALSE(stream->Read(text));
  EXPECT_EQ(stream->Finish(nullptr).code(), StatusCode::kInternal);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
}

// What is wrong with an element is found when it is read, and the server may have said OK long before.
TEST_F(StreamEndTest, ElementThatDoesNotParseEndsTheCallThoughTheReplyIsThere) {
  streams.chat = [](ServerContext&, ChatStream& stream) {
    return stream.Write(MakeBlob("\xff")) ? absl::OkStatus() : absl::CancelledError();
  };
  const auto server = StartServer();
  const auto channel = Connect();
  const Echo::Stub echo(channel);
  constexpr internal::MethodInfo kChat = internal::MakeMethod(
      "nearcall.integration.Streams/Chat", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false);
  const auto stream = channel->OpenStream(kChat, nullptr, InTime());
  const CallOptions options = InTime();
  const auto held = channel->BeginCall(kChat, nullptr, options);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), "calls active: 0"); }));
  EXPECT_TRUE(echo.Say(MakeBlob(""), InTime()).ok());  // behind both replies
  Text text;
  EXPECT_FALSE(stream->Read(text));
  EXPECT_THAT(stream->Finish(nullptr), FailsWith(StatusCode::kInternal, "does not parse"));
  internal::Tried tried;
  ASSERT_TRUE(Eventually([&] { return (tried = held->TryRead(text)) != internal::Tried::kNotYet; }));
  EXPECT_EQ(tried, internal::Tried::kOver);
  absl::Status status;
  ASSERT_TRUE(Eventually([&] { return held->TryFinish(nullptr, status) == internal::Tried::kDone; }));
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "does not parse"));
}

// ---- misuse ----

TEST_F(StreamEndTest, ASecondReaderOrWriterEndsTheProcess) {
  const auto twice = [this](const std::function<void(ClientReaderWriter<Blob, Blob>&)>& use) {
    return [this, use](Link& parent) {
      parent.Await();
      const auto stream = ConnectStreams().Chat(InTime());
      std::jthread other([&] { use(*stream); });
      use(*stream);
    };
  };
  Child readers(twice([](auto& stream) {
    Blob reply;
    stream.Read(&reply);
  }));
  Child writers(twice([](auto& stream) {
    while (stream.Write(Element(0, 10'000))) continue;
  }));
  ReadOnlyWhenTold();
  const auto server = StartServer();
  for (Child* child : {&readers, &writers}) {
    child->link().Tell();
    EXPECT_EQ(child->Join(), -SIGABRT);
  }
  may_read.Set();
}

// ---- calls that could not be made ----

TEST_F(StreamEndTest, WithoutAServerAStreamHasEnded) {
  auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  server.reset();
  const auto chat = stub.Chat(InTime());
  EXPECT_FALSE(chat->WaitForInitialMetadata());
  ExpectEnd(*chat, StatusCode::kUnavailable, ExecState::kNotSent);
  EXPECT_EQ(stub.Up(InTime())->Finish().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(stub.Down(MakeBlob("1"), InTime())->Finish().code(), StatusCode::kUnavailable);
}

TEST_F(StreamEndTest, WhatIsWrongWithTheOptionsIsSaidByFinish) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto invalid = stub.Chat({.timeout = kLong, .metadata = {{"Upper", "x"}}});
  ExpectEnd(*invalid, StatusCode::kInvalidArgument, ExecState::kNotSent);
  const auto late = stub.Chat({.timeout = absl::ZeroDuration()});
  ExpectEnd(*late, StatusCode::kDeadlineExceeded, ExecState::kNotSent);
  std::stop_source stop;
  stop.request_stop();
  const auto cancelled = stub.Chat({.timeout = kLong, .stop_token = stop.get_token()});
  ExpectEnd(*cancelled, StatusCode::kCancelled, ExecState::kNotSent);
  EXPECT_EQ(NumberIn(server->DebugString(), "started: "), 0u);
}

// What one side's .proto says of a method and the other's does not.
TEST_F(StreamEndTest, MethodOfAnotherKindIsUnimplementedAndNoViolation) {
  using internal::MethodKind;
  const auto server = StartServer();
  const auto channel = Connect();
  const std::pair<const char*, MethodKind> methods[] = {
      {"nearcall.integration.Echo/Say", MethodKind::kUnary},
      {"nearcall.integration.Streams/Down", MethodKind::kServerStreaming},
      {"nearcall.integration.Streams/Up", MethodKind::kClientStreaming},
      {"nearcall.integration.Streams/Chat", MethodKind::kBidiStreaming}};
  for (const auto& [name, kind] : methods) {
    for (const auto& [other_name, other] : methods) {
      if (other == kind) continue;
      SCOPED_TRACE(absl::StrCat(name, " called as ", other_name));
      const internal::MethodInfo method = internal::MakeMethod(name, other, Priority::kNormal, 0, false);
      Blob reply;
      absl::Status status;
      if (other == MethodKind::kUnary) {
        status = channel->BlockingCall(method, MakeBlob("1"), reply, InTime());
      } else {
        const Blob request = MakeBlob("1");
        const bool has_request = other == MethodKind::kServerStreaming;
        const auto stream = channel->OpenStream(method, has_request ? &request : nullptr, InTime());
        if (!has_request) stream->Write(request, false);
        status = stream->Finish(other == MethodKind::kClientStreaming ? &reply : nullptr);
      }
      EXPECT_THAT(status, FailsWith(StatusCode::kUnimplemented, name));
      EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
    }
  }
  EXPECT_EQ(NumberIn(server->DebugString(), "violations: "), 0u);
  EXPECT_EQ(ConnectionCount(*server), 1u);
  EXPECT_THAT(log.lines(), ::testing::IsEmpty());
}

// ---- a cancel ----

TEST_F(StreamEndTest, CancelEndsTheCallAndReachesTheHandler) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat();  // no deadline that would wake the handler, too
  ExpectOpen(*stream);
  stream->Cancel();
  ExpectEnd(*stream, StatusCode::kCancelled, ExecState::kMaybeExecuted);
  saw_cancel.Wait();
}

TEST_F(StreamEndTest, StopRequestIsACancel) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  std::stop_source stop;
  const auto stream = ConnectStreams().Chat({.timeout = kLong, .stop_token = stop.get_token()});
  ExpectOpen(*stream);
  stop.request_stop();
  ExpectEnd(*stream, StatusCode::kCancelled);
  saw_cancel.Wait();
}

TEST_F(StreamEndTest, CancelByAnotherThreadEndsReadAndWrite) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  std::atomic<size_t> written = 0;
  auto writing = std::async(std::launch::async, [&] {
    while (stream->Write(Element(0, 10'000))) ++written;
  });
  auto reading = std::async(std::launch::async, [&] {
    Blob reply;
    return stream->Read(&reply);
  });
  began.Wait();
  EXPECT_TRUE(Eventually([&] { return written >= ElementsIn(64 << 10, 10'000).at_least; }));
  stream->Cancel();
  writing.get();
  EXPECT_FALSE(reading.get());
  ExpectEnd(*stream, StatusCode::kCancelled);
  may_read.Set();
  saw_cancel.Wait();
}

TEST_F(StreamEndTest, NothingIsReadAfterACancel) {
  Event written;
  streams.down = [&](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
    absl::Status status = CountDown(context, request, writer);
    written.Set();
    may_read.Wait();
    return status;
  };
  const auto server = StartServer();
  const auto channel = Connect();
  const auto stream = Streams::Stub(channel).Down(MakeBlob("10"), InTime());
  Blob element;
  EXPECT_TRUE(stream->Read(&element));
  written.Wait();
  // Who waits for this reply takes the elements before it.
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
  stream->Cancel();
  EXPECT_FALSE(stream->Read(&element));
  EXPECT_EQ(stream->Finish().code(), StatusCode::kCancelled);
  may_read.Set();
}

TEST_F(StreamEndTest, CancelAfterTheStatusChangesNothing) {
  const auto server = StartServer();
  const auto stream = ConnectStreams().Down(MakeBlob("1"), InTime());
  Blob element;
  EXPECT_TRUE(stream->Read(&element));
  EXPECT_FALSE(stream->Read(&element));
  stream->Cancel();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamEndTest, DestroyingAnOpenStreamCancelsIt) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  ExpectOpen(*stub.Chat());
  saw_cancel.Wait();
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  ExpectOpen(*stub.Chat());
}

TEST_F(StreamEndTest, DestroyingAStreamThatHasEndedCancelsNothing) {
  ChatUntilTheEnd();
  {
    const auto server = StartServer();
    const auto stream = ConnectStreams().Chat(InTime());
    ExpectOpen(*stream);
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_FALSE(saw_cancel.is_set());
}

// Opened and left at every moment: each call ends, and no handler is left.
TEST_F(StreamEndTest, ManyRacesBetweenElementsAndCancel) {
  const auto server = StartServer();
  const auto channel = Connect();
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&] {
      const Streams::Stub stub(channel);
      for (int i = 0; i < 100; ++i) {
        const auto chat = stub.Chat(InTime());
        std::jthread canceller([&] { chat->Cancel(); });
        Blob reply;
        while (chat->Write(MakeBlob("x")) && chat->Read(&reply)) continue;
        EXPECT_EQ(chat->Finish().code(), StatusCode::kCancelled);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  ExpectOpen(*Streams::Stub(channel).Chat(InTime()));
}

// ---- the deadline ----

TEST_F(StreamEndTest, DeadlineInRead) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat({.timeout = kSoon});
  const absl::Time before = absl::Now();
  Blob reply;
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_GE(absl::Now() - before, kSoon - absl::Milliseconds(10));
  ExpectEnd(*stream, StatusCode::kDeadlineExceeded);
  if (began.is_set()) saw_cancel.Wait();
}

TEST_F(StreamEndTest, DeadlineInWrite) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat({.timeout = kSoon});
  while (stream->Write(Element(0, 10'000))) continue;
  ExpectEnd(*stream, StatusCode::kDeadlineExceeded);
  may_read.Set();
}

TEST_F(StreamEndTest, DeadlineInFinish) {
  streams.up = [this](ServerContext&, ServerReader<Blob>&, Blob&) {
    may_read.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stream = ConnectStreams().Up({.timeout = kSoon});
  EXPECT_EQ(stream->Finish().status().code(), StatusCode::kDeadlineExceeded);
  may_read.Set();
}

// Its client is in no call that could tell it.
TEST_F(StreamEndTest, DeadlineInTheHandler) {
  Event over;
  streams.chat = [&](ServerContext& context, ChatStream& stream) {
    Blob element;
    EXPECT_TRUE(stream.Read(&element));
    EXPECT_FALSE(stream.Read(&element));
    EXPECT_TRUE(context.IsCancelled());
    EXPECT_FALSE(stream.Write(MakeBlob("nobody waits")));
    over.Set();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  // Long enough for the first element on a busy machine.
  const auto stream = ConnectStreams().Chat({.timeout = absl::Seconds(1)});
  EXPECT_TRUE(stream->Write(MakeBlob("x")));
  over.Wait();
  EXPECT_EQ(stream->Finish().code(), StatusCode::kDeadlineExceeded);
}

// ---- the end of the server ----

TEST_F(StreamEndTest, StreamsEndWellWithinTheGrace) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto stream = stub.Chat(InTime());
  ExpectOpen(*stream);
  server->Shutdown(kLong);
  EXPECT_TRUE(Eventually([&] { return !stub.Chat(InTime())->Finish().ok(); })) << "no further ones begin";
  ExpectOpen(*stream);
  EXPECT_TRUE(stream->Finish().ok());
  server->Wait();
  EXPECT_FALSE(saw_cancel.is_set());
}

TEST_F(StreamEndTest, StreamsThatOutlastTheGraceAreUnavailable) {
  ChatUntilTheEnd();
  const auto server = StartServer();
  const auto stream = ConnectStreams().Chat(InTime());
  ExpectOpen(*stream);
  const absl::Time before = absl::Now();
  server->Shutdown(kSoon);
  server->Wait();
  EXPECT_LT(absl::Now() - before, kLong / 2);
  EXPECT_TRUE(saw_cancel.is_set());
  ExpectEnd(*stream, StatusCode::kUnavailable, ExecState::kMaybeExecuted);
}

TEST_F(StreamEndTest, TheSuccessorServesTheNextStream) {
  auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();
  const auto lost = stub.Chat(InTime());
  ExpectOpen(*lost);
  server.reset();
  server = StartServer();
  ExpectOpen(*stub.Chat({.timeout = kLong, .wait_for_ready = true}));
  ExpectEnd(*lost, StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nearcall::integration
