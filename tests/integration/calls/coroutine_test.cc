// SPDX-License-Identifier: Apache-2.0

// Coroutines on both sides: calls of a CoStub, to the handlers of a CoService.
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "co_service.h"
#include "driven_server.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// A coroutine as small as can be, of somebody else's: begins at once, and belongs to nobody.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

class CoroutineTest : public IntegrationTest {
 protected:
  std::unique_ptr<Server> StartServer(ServerOptions options = {}) {
    if (!options.log_sink) options.log_sink = log.sink();
    options.expected_clients = 48;
    return StartInStyle(std::move(options), [this](ServerOptions styled) {
      return Must(ServerBuilder(std::move(styled)).Listen(Address()).Register(&co_echo).Register(&streams).Start());
    });
  }
  Echo::CoStub ConnectEcho() { return Echo::CoStub(Connect()); }
  Streams::CoStub ConnectStreams(ChannelOptions options = {}) { return Streams::CoStub(Connect(std::move(options))); }

  // Waits for what `body` makes: Run([&]() -> Task<> { ... }).
  template <typename Body>
  static auto Run(Body body) {
    return SyncWait(body());
  }

  // A Chat whose handler waits until it is cancelled, and says so.
  void ChatUntilCancelled() {
    streams.chat = [this](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
      Blob element;
      while (co_await stream.Read(&element)) began.Set();
      if (context.IsCancelled()) saw_cancel.Set();
      co_return absl::OkStatus();
    };
  }

  // A Say() whose handler takes its time until it is cancelled.
  void SayUntilCancelled() {
    co_echo.say = [this](ServerContext& context, const Blob&, Blob&) -> Task<absl::Status> {
      began.Set();
      Event cancelled;
      const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
      cancelled.Wait();
      saw_cancel.Set();
      co_return absl::OkStatus();
    };
  }

  CoEchoService co_echo;
  CoStreamService streams;
  Event began;
  Event saw_cancel;
};

TEST_F(CoroutineTest, UnaryCallsOfAllSizes) {
  const auto server = StartServer();
  const auto stub = ConnectEcho();
  Run([&]() -> Task<> {
    for (const size_t size : {0u, 1u, 5000u, 300'000u}) {
      const absl::StatusOr<Blob> reply = co_await stub.Say(Element(size, size));
      EXPECT_TRUE(reply.ok() && IsElement(*reply, size, size)) << reply.status();
    }
  });
}

TEST_F(CoroutineTest, CallsRunAtTheSameTime) {
  constexpr size_t kCalls = 200;
  const auto server = StartServer();
  const auto stub = ConnectEcho();
  Run([&]() -> Task<> {
    std::vector<UnaryCall<Blob>> calls;
    for (size_t i = 0; i < kCalls; ++i) calls.push_back(stub.Say(Element(i, 100)));
    for (size_t i = 0; i < kCalls; ++i) {
      const absl::StatusOr<Blob> reply = co_await calls[i];
      EXPECT_TRUE(reply.ok() && IsElement(*reply, i, 100)) << reply.status();
    }
  });
}

TEST_F(CoroutineTest, ManyTasksCallAtTheSameTime) {
  const auto server = StartServer();
  const auto stub = ConnectEcho();
  const auto ask = [&](size_t number) -> Task<bool> {
    for (size_t i = 0; i < 50; ++i) {
      const absl::StatusOr<Blob> reply = co_await stub.Say(Element(number, 100));
      if (!reply.ok() || !IsElement(*reply, number, 100)) co_return false;
    }
    co_return true;
  };
  std::vector<Task<bool>> tasks;
  for (size_t i = 0; i < 64; ++i) tasks.push_back(ask(i));
  EXPECT_THAT(SyncWait(WhenAll(std::move(tasks))), ::testing::Each(true));
}

TEST_F(CoroutineTest, EachKindOfStream) {
  const auto server = StartServer();
  const auto stub = ConnectStreams();
  Run([&]() -> Task<> {
    auto down = stub.Down(MakeBlob("1000"));
    size_t count = 0;
    for (; const std::optional<Blob> element = co_await down.Read(); ++count) {
      EXPECT_EQ(element->data(), absl::StrCat(count));
    }
    EXPECT_EQ(count, 1000u);
    EXPECT_TRUE((co_await down.Finish()).ok());

    auto up = stub.Up();
    for (size_t i = 0; i < 1000; ++i) EXPECT_TRUE(co_await up.Write(Element(i, 100)));
    EXPECT_TRUE(co_await up.WriteLast(Element(0, 50)));
    const absl::StatusOr<Blob> sum = co_await up.Finish();
    EXPECT_TRUE(sum.ok() && sum->data() == "1001 elements, 100050 B") << sum.status();

    auto chat = stub.Chat();
    Blob reply;
    for (const size_t size : {0u, 10u, 5000u, 300'000u}) {
      EXPECT_TRUE(co_await chat.Write(Element(size, size)));
      EXPECT_TRUE(co_await chat.Read(&reply));
      EXPECT_TRUE(IsElement(reply, size, size));
    }
    EXPECT_TRUE(co_await chat.WritesDone());
    EXPECT_FALSE(co_await chat.Read(&reply));
    EXPECT_TRUE((co_await chat.Finish()).ok());
  });
}

TEST_F(CoroutineTest, AOneWayCallIsOverWhenItsHandlerHasStarted) {
  CoNotesService notes;
  Event ended;
  std::optional<Echo::CoStub> stub;
  Event may_go_on;
  notes.note = [&](const Blob& request) -> Task<absl::Status> {
    may_go_on.Wait();
    EXPECT_TRUE((co_await stub->Say(request)).ok());
    EXPECT_TRUE(IsElement(request, 7, 100));
    ended.Set();
    co_return absl::OkStatus();
  };
  const auto server = Must(ServerBuilder().Listen(Address()).Register(&co_echo).Register(&notes).Start());
  const auto channel = Connect();
  stub.emplace(Connect());
  Run([&]() -> Task<> {
    const absl::Status status = co_await Notes::CoStub(channel).Note(Element(7, 100));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(ended.is_set());
    may_go_on.Set();
  });
  ended.Wait();
  stub.reset();
}

TEST_F(CoroutineTest, OneCoroutineReadsWhileAnotherWrites) {
  constexpr size_t kCount = 2000;
  const auto server = StartServer();
  auto chat = ConnectStreams().Chat();
  const auto write = [&]() -> Task<> {
    for (size_t i = 0; i < kCount; ++i) EXPECT_TRUE(co_await chat.Write(Element(i, 1000)));
    chat.WritesDone();
  };
  const auto read = [&]() -> Task<size_t> {
    size_t count = 0;
    for (Blob reply; co_await chat.Read(&reply); ++count) EXPECT_TRUE(IsElement(reply, count, 1000));
    co_return count;
  };
  Run([&]() -> Task<> {
    const auto [nothing, count] = co_await WhenAll(write(), read());
    EXPECT_EQ(count, kCount);
    EXPECT_TRUE((co_await chat.Finish()).ok());
  });
}

TEST_F(CoroutineTest, AReaderThatStopsHoldsUpItsWriterAndNobodyElse) {
  Counter written;
  streams.down = [&](ServerContext& context, const Blob&, CoServerWriter<Blob>& writer) -> Task<absl::Status> {
    while (co_await writer.Write(Element(1, 1000))) written.Add();
    EXPECT_TRUE(context.IsCancelled());
    saw_cancel.Set();
    co_return absl::OkStatus();
  };
  const auto server = StartServer({.max_handler_threads = 1});
  const auto channel = Connect();
  Run([&]() -> Task<> {
    auto down = Streams::CoStub(channel).Down(Blob());
    EXPECT_TRUE(co_await down.Read());
    written.WaitFor(ElementsIn(64 << 10, 1000).at_least);
    auto chat = Streams::CoStub(channel).Chat();
    for (size_t i = 0; i < 100; ++i) {
      EXPECT_TRUE(co_await chat.Write(Element(i, 100)));
      EXPECT_TRUE(co_await chat.Read());
      EXPECT_TRUE((co_await Echo::CoStub(channel).Say(Element(i, 100))).ok());
    }
    down.Cancel();
    EXPECT_EQ((co_await down.Finish()).code(), StatusCode::kCancelled);
  });
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, MetadataComeWithTheFirstElementAndTheEnd) {
  streams.chat = [](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
    context.initial_metadata().Add("first", "1");
    context.trailing_metadata().Add("last", "2");
    context.SendInitialMetadata();
    Blob element;
    while (co_await stream.Read(&element)) continue;
    co_return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto stub = ConnectStreams();
  Run([&]() -> Task<> {
    auto chat = stub.Chat();
    EXPECT_TRUE(co_await chat.WaitForInitialMetadata());
    EXPECT_EQ(chat.metadata().initial.Get("first"), "1");
    EXPECT_TRUE((co_await chat.Finish()).ok());
    EXPECT_EQ(chat.metadata().trailing.Get("last"), "2");
  });
}

// Before the other one waits, while it does, and just between.
TEST_F(CoroutineTest, AHandlerMayStopItsReader) {
  static constexpr auto kReadAll = [](CoChatStream& stream) -> Task<> {
    Blob element;
    while (co_await stream.Read(&element)) continue;
  };
  streams.chat = [](ServerContext&, CoChatStream& stream) -> Task<absl::Status> {
    std::thread stopper([&stream] { stream.StopReading(); });
    co_await kReadAll(stream);
    stopper.join();
    co_return absl::AbortedError("enough");
  };
  const auto server = StartServer();
  const auto stub = ConnectStreams();
  Run([&]() -> Task<> {
    for (int i = 0; i < 500; ++i) {
      auto chat = stub.Chat();
      EXPECT_EQ((co_await chat.Read()).has_value(), false);
      EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kAborted);
    }
  });
}

TEST_F(CoroutineTest, AStopBetweenTheLookAndTheWaitEndsTheRead) {
  // Awaits what it is given, and stops the reader in between.
  struct StopsBetween {
    decltype(std::declval<CoChatStream&>().Read(std::declval<Blob*>())) read;
    CoChatStream& stream;

    bool await_ready() {
      const bool ready = read.await_ready();
      stream.StopReading();
      return ready;
    }
    bool await_suspend(std::coroutine_handle<> caller) { return read.await_suspend(caller); }
    bool await_resume() { return read.await_resume(); }
  };
  streams.chat = [](ServerContext&, CoChatStream& stream) -> Task<absl::Status> {
    Blob element;
    const bool came = co_await StopsBetween{stream.Read(&element), stream};
    co_return came ? absl::OkStatus() : absl::AbortedError("enough");
  };
  const auto server = StartServer();
  Run([&]() -> Task<> {
    auto chat = ConnectStreams().Chat();
    EXPECT_FALSE((co_await chat.Read()).has_value());  // (Finish() would half-close)
    EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kAborted);
  });
}

TEST_F(CoroutineTest, MetadataThatComeAloneAreNoElement) {
  Event may_write;
  streams.down = [&](ServerContext& context, const Blob&, CoServerWriter<Blob>& writer) -> Task<absl::Status> {
    context.SendInitialMetadata();
    began.Set();
    may_write.Wait();
    co_await writer.Write(Element(1, 100));
    co_return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto channel = Connect();
  std::thread behind([&] {
    began.Wait();
    // What the server sent before this has come.
    EXPECT_TRUE(Echo::Stub(channel).Say(Blob()).ok());
    may_write.Set();
  });
  Run([&]() -> Task<> {
    auto down = Streams::CoStub(channel).Down(Blob());
    const std::optional<Blob> element = co_await down.Read();
    EXPECT_TRUE(element && IsElement(*element, 1, 100));
    EXPECT_TRUE((co_await down.Finish()).ok());
  });
  behind.join();
}

TEST_F(CoroutineTest, ErrorsComeOutWhereTheyAreAwaited) {
  const auto server = StartServer();
  const auto channel = Connect();
  Run([&]() -> Task<> {
    EXPECT_EQ((co_await Echo::CoStub(channel).Low(Blob())).status().code(), StatusCode::kUnimplemented);
    auto down = Streams::CoStub(channel).Down(MakeBlob("many"));
    EXPECT_FALSE(co_await down.Read());
    EXPECT_EQ((co_await down.Finish()).code(), StatusCode::kInvalidArgument);
  });
  server->Shutdown();
  server->Wait();
  Run([&]() -> Task<> {
    EXPECT_EQ((co_await Echo::CoStub(channel).Say(Blob())).status().code(), StatusCode::kUnavailable);
    auto chat = Streams::CoStub(channel).Chat();
    EXPECT_FALSE(co_await chat.Read());
    EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kUnavailable);
  });
}

TEST_F(CoroutineTest, AHandlerThatThrowsGivesUnknownWhetherItHasSuspendedOrNot) {
  co_echo.say = [](ServerContext&, const Blob&, Blob&) -> Task<absl::Status> {
    throw std::runtime_error("secret");
    co_return absl::OkStatus();
  };
  streams.chat = [](ServerContext&, CoChatStream& stream) -> Task<absl::Status> {
    static_cast<void>(co_await stream.Read());
    throw std::runtime_error("secret");
  };
  const auto server = StartServer();
  const auto channel = Connect();
  Run([&]() -> Task<> {
    const absl::Status said = (co_await Echo::CoStub(channel).Say(Blob())).status();
    EXPECT_THAT(said, FailsWith(StatusCode::kUnknown, "failed"));
    auto chat = Streams::CoStub(channel).Chat();
    EXPECT_TRUE(co_await chat.Write(Blob()));
    const absl::Status chatted = co_await chat.Finish();
    EXPECT_THAT(chatted, FailsWith(StatusCode::kUnknown, "failed"));
    EXPECT_FALSE(absl::StrContains(chatted.message(), "secret"));
  });
  EXPECT_TRUE(Eventually([&] { return log.Has("threw an exception"); }));
}

// ---- ends by the client ----

TEST_F(CoroutineTest, ADroppedCallIsCancelled) {
  SayUntilCancelled();
  const auto server = StartServer();
  const auto stub = ConnectEcho();
  {
    auto call = stub.Say(Blob());
    began.Wait();
  }
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, ADroppedStreamIsCancelled) {
  ChatUntilCancelled();
  const auto server = StartServer();
  const auto stub = ConnectStreams();
  Run([&]() -> Task<> {
    auto chat = stub.Chat();
    EXPECT_TRUE(co_await chat.Write(Blob()));
    began.Wait();
  });
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, ACancelFromAnotherThreadWakesWhoAwaits) {
  ChatUntilCancelled();
  const auto server = StartServer();
  auto chat = ConnectStreams().Chat();
  std::thread canceller([&] {
    began.Wait();
    chat.Cancel();
  });
  Run([&]() -> Task<> {
    EXPECT_TRUE(co_await chat.Write(Blob()));
    EXPECT_FALSE(co_await chat.Read());
    EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kCancelled);
  });
  canceller.join();
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, ACancelWakesWhoWaitsForRoom) {
  Event may_read;
  streams.up = [&](ServerContext&, CoServerReader<Blob>&, Blob&) -> Task<absl::Status> {
    may_read.Wait();
    co_return absl::OkStatus();
  };
  const auto server = StartServer();
  auto up = ConnectStreams().Up();
  Counter written;
  std::thread canceller([&] {
    written.WaitFor(ElementsIn(64 << 10, 1000).at_least);
    up.Cancel();
    may_read.Set();
  });
  Run([&]() -> Task<> {
    while (co_await up.Write(Element(1, 1000))) written.Add();
    EXPECT_EQ((co_await up.Finish()).status().code(), StatusCode::kCancelled);
  });
  canceller.join();
}

TEST_F(CoroutineTest, AStopRequestEndsACallAndAStream) {
  SayUntilCancelled();
  const auto server = StartServer();
  const auto channel = Connect();
  std::stop_source stop;
  const CallOptions options = {.stop_token = stop.get_token()};
  auto chat = Streams::CoStub(channel).Chat(options);
  std::thread stopper([&] {
    began.Wait();
    stop.request_stop();
  });
  Run([&]() -> Task<> {
    EXPECT_EQ((co_await Echo::CoStub(channel).Say(Blob(), options)).status().code(), StatusCode::kCancelled);
    EXPECT_FALSE(co_await chat.Read());
    EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kCancelled);
  });
  stopper.join();
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, TheDeadlineWakesWhoAwaits) {
  ChatUntilCancelled();
  const auto server = StartServer();
  const auto stub = ConnectStreams();
  Run([&]() -> Task<> {
    // Long enough for the handler to begin.
    const CallOptions options = {.timeout = absl::Milliseconds(300)};
    auto chat = stub.Chat(options);
    EXPECT_FALSE(co_await chat.Read());
    EXPECT_EQ((co_await chat.Finish()).code(), StatusCode::kDeadlineExceeded);
  });
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, TheFirstOfTwoCallsStopsTheOther) {
  SayUntilCancelled();
  const auto server = StartServer();
  const auto channel = Connect();
  std::stop_source stop;
  const CallOptions options = {.stop_token = stop.get_token()};
  const auto say = [&]() -> Task<absl::Status> {
    co_return (co_await Echo::CoStub(channel).Say(Blob(), options)).status();
  };
  const auto chat = [&]() -> Task<absl::Status> {
    began.Wait();
    auto stream = Streams::CoStub(channel).Chat(options);
    co_return co_await stream.Finish();
  };
  const auto [first, results] = SyncWait(WhenAny(stop, say(), chat()));
  EXPECT_EQ(first, 1u);
  EXPECT_EQ(std::get<0>(results).code(), StatusCode::kCancelled);
  EXPECT_TRUE(std::get<1>(results).ok());
  saw_cancel.Wait();
}

TEST_F(CoroutineTest, ASuspendedCoroutineMayBeDestroyed) {
  ChatUntilCancelled();
  const auto server = StartServer();
  struct Nobody : internal::Continuation {
    Nobody() : Continuation([](Continuation&) { ADD_FAILURE(); }) {}
  } nobody;
  const auto begin = [](auto& chat) -> Task<> { EXPECT_TRUE(co_await chat.Write(Blob())); };
  const auto read = [](auto chat) -> Task<> { static_cast<void>(co_await chat.Read()); };
  {
    auto chat = ConnectStreams().Chat();
    SyncWait(begin(chat));
    began.Wait();
    const auto task = read(std::move(chat));
    task.promise().StartNow(nobody);
  }
  saw_cancel.Wait();
}

// ---- who waits for whom ----

TEST_F(CoroutineTest, ACoroutineMayDropTheLastReferenceToItsChannel) {
  const auto server = StartServer();
  Event ended;
  const auto task = [&](Echo::CoStub stub) -> Task<> {
    EXPECT_TRUE((co_await stub.Say(Blob())).ok());
    // On the channel's thread: what is left of it is in `stub`.
    stub = Echo::CoStub(nullptr);
    ended.Set();
  };
  Start(task(ConnectEcho()));
  ended.Wait();
}

TEST_F(CoroutineTest, AHandlerAwaitsAnotherServersCall) {
  CoEchoService behind;
  const auto other = Must(ServerBuilder().Listen(Address("behind")).Register(&behind).Start());
  std::optional<Echo::CoStub> stub;
  co_echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) -> Task<absl::Status> {
    const CallOptions options = CallOptions::FromServer(context);
    absl::StatusOr<Blob> answer = co_await stub->Say(request, options);
    if (!answer.ok()) co_return answer.status();
    reply = *std::move(answer);
    co_return absl::OkStatus();
  };
  const auto server = StartServer();
  stub.emplace(Connect({}, Address("behind")));
  Run([&]() -> Task<> {
    const auto front = ConnectEcho();
    for (size_t i = 0; i < 20; ++i) {
      const absl::StatusOr<Blob> reply = co_await front.Say(Element(i, 100));
      EXPECT_TRUE(reply.ok() && IsElement(*reply, i, 100)) << reply.status();
    }
  });
  stub.reset();
}

TEST_F(CoroutineTest, AForeignCoroutineAwaitsCallsAndStreams) {
  const auto server = StartServer();
  Event ended;
  const auto foreign = [&](std::shared_ptr<Channel> channel) -> Foreign {
    EXPECT_TRUE((co_await Echo::CoStub(channel).Say(Element(1, 100))).ok());
    auto chat = Streams::CoStub(channel).Chat();
    EXPECT_TRUE(co_await chat.Write(Element(2, 100)));
    EXPECT_TRUE(co_await chat.Read());
    EXPECT_TRUE((co_await chat.Finish()).ok());
    ended.Set();
  };
  foreign(Connect());
  ended.Wait();
}

TEST_F(CoroutineTest, BothStylesServeEachOther) {
  const auto server = StartServer();
  const auto channel = Connect();
  EXPECT_TRUE(Echo::Stub(channel).Say(Element(1, 100)).ok());
  const auto chat = Streams::Stub(channel).Chat();
  Blob reply;
  EXPECT_TRUE(chat->Write(Element(2, 100)) && chat->Read(&reply));
  EXPECT_TRUE(chat->Finish().ok());
}

}  // namespace
}  // namespace nearcall::integration
