// SPDX-License-Identifier: Apache-2.0

// Streaming calls whose handlers are coroutines: no thread waits for them, and no place is held, while they wait.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "suspending_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using SuspendedHandlerTest = SuspendingTest;

// --- as other handlers ---

TEST_F(SuspendedHandlerTest, EachKindOfStreamWorksAsWithAThread) {
  const auto server = StartServer();
  const Streams::Stub stub = ConnectStreams();

  const auto down = stub.Down(MakeBlob("1000"), InTime());
  size_t count = 0;
  for (const Blob& element : *down) EXPECT_EQ(element.data(), absl::StrCat(count++));
  EXPECT_EQ(count, 1000u);
  EXPECT_TRUE(down->Finish().ok());

  const auto up = stub.Up(InTime());
  for (size_t i = 0; i < 1000; ++i) ASSERT_TRUE(up->Write(Element(i, 100)));
  EXPECT_EQ(Must(up->Finish()).data(), "1000 elements, 100000 B");

  const auto chat = stub.Chat(InTime());
  for (size_t i = 0; i < 100; ++i) ASSERT_TRUE(PingPong(*chat, i, i * 300));
  ASSERT_TRUE(PingPong(*chat, 1, 1'000'000)) << "larger than the window, and than the transport";
  EXPECT_TRUE(chat->WritesDone());
  Blob reply;
  EXPECT_FALSE(chat->Read(&reply));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(SuspendedHandlerTest, AClientThatDoesNotReadSuspendsItsHandlerAndNobodyElse) {
  constexpr size_t kWindow = 10'000;
  constexpr size_t kSize = 1000;
  std::atomic<size_t> written = 0;
  suspending.down = [&](SuspendedCall call) -> Detached {
    for (size_t i = 0; i < 100; ++i, ++written) {
      const Blob element = Element(i, kSize);
      if (!co_await call.Write(element)) break;
    }
    call.answer->FinishStream(absl::OkStatus());
  };
  const auto server = StartServer({.max_handler_threads = 1});
  const auto channel = Connect({.stream_window_bytes = kWindow});
  const Streams::Stub stub(channel);
  const auto slow = stub.Down(MakeBlob(""), InTime());
  const Bounds bounds = ElementsIn(kWindow, kSize);
  EXPECT_TRUE(Eventually([&] { return written >= bounds.at_least; })) << written;
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x"), InTime()).ok()) << "the only place is free";
  EXPECT_TRUE(PingPong(*stub.Chat(InTime())));
  EXPECT_LE(written, bounds.at_most);
  size_t count = 0;
  for (const Blob& element : *slow) EXPECT_TRUE(IsElement(element, count++, kSize));
  EXPECT_EQ(count, 100u);
  EXPECT_TRUE(slow->Finish().ok());
}

// One that reads and one that writes, each suspended by itself; the last of them answers.
TEST_F(SuspendedHandlerTest, AHandlerReadsAndWritesAtOnce) {
  struct Both {
    explicit Both(SuspendedCall its_call) : call(std::move(its_call)) {}
    ~Both() { call.answer->FinishStream(absl::OkStatus()); }
    SuspendedCall call;
    std::atomic<size_t> read = 0;
  };
  constexpr size_t kCount = 3000;
  const auto read_all = [](std::shared_ptr<Both> both) -> Detached {
    for (Blob element; co_await both->call.Read(element);) ++both->read;
  };
  const auto write_all = [](std::shared_ptr<Both> both) -> Detached {
    for (size_t i = 0; i < kCount; ++i) {
      const Blob element = Element(i, 100);
      if (!co_await both->call.Write(element)) break;
    }
  };
  suspending.chat = [&](SuspendedCall call) -> Detached {
    const auto both = std::make_shared<Both>(std::move(call));
    read_all(both);
    write_all(both);
    co_return;
  };
  const auto server = StartServer();
  const auto chat = ConnectStreams({.stream_window_bytes = 5000}).Chat(InTime());
  auto writing = std::async(std::launch::async, [&] {
    for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(chat->Write(Element(i, 100)));
    EXPECT_TRUE(chat->WritesDone());
  });
  size_t count = 0;
  for (const Blob& element : *chat) EXPECT_TRUE(IsElement(element, count++, 100));
  writing.get();
  EXPECT_EQ(count, kCount);
  EXPECT_TRUE(chat->Finish().ok());
}

// --- places and threads ---

TEST_F(SuspendedHandlerTest, ThousandsOfChatsNeedNeitherThreadsNorPlaces) {
  constexpr size_t kChannels = 4;
  constexpr size_t kChatsOfEach = 500;
  const auto server = StartServer({.max_handler_threads = 64, .max_waiting_handlers = 1});
  std::vector<std::unique_ptr<Chat>> chats;
  for (size_t i = 0; i < kChannels; ++i) {
    const Streams::Stub stub = ConnectStreams();
    for (size_t k = 0; k < kChatsOfEach; ++k) chats.push_back(OpenChat(stub));
  }
  EXPECT_EQ(CallsActive(*server), kChannels * kChatsOfEach);
  const std::string text = server->DebugString();
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "handlers running: ") == 0; })) << text;
  EXPECT_LE(NumberIn(text, ", threads: "), 8u) << text;
  for (const auto& chat : chats) EXPECT_TRUE(PingPong(*chat, 2));
  for (const auto& chat : chats) EXPECT_TRUE(chat->WritesDone() && chat->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(SuspendedHandlerTest, WhatIsToGoOnHasItsTurnInItsLane) {
  Event running;
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    running.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  base::Mutex mutex;
  std::vector<Priority> order;
  suspending.chat = [&](SuspendedCall call) -> Detached {
    Blob element;
    co_await call.Read(element);
    co_await call.Write(element);
    co_await call.Read(element);
    {
      const base::MutexLock lock(mutex);
      order.push_back(call.context.priority());
    }
    co_await call.Write(element);
    call.answer->FinishStream(absl::OkStatus());
  };
  const auto server = StartServer({.max_handler_threads = 1});
  const Streams::Stub stub = ConnectStreams();
  const std::vector<std::pair<Priority, const char*>> lanes = {
      {Priority::kLow, "waiting for a handler: low "}, {Priority::kNormal, ", normal "}, {Priority::kHigh, ", high "}};
  std::vector<std::unique_ptr<Chat>> chats;
  for (const auto& [priority, name] : lanes) chats.push_back(OpenChat(stub, {.priority = priority}));
  auto blocking = SayAsync(ConnectStub(), "has the only place");
  running.Wait();
  for (size_t i = 0; i < lanes.size(); ++i) {
    ASSERT_TRUE(chats[i]->Write(MakeBlob("go on")));
    ASSERT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), lanes[i].second) == 1; }));
  }
  may_end.Set();
  Blob reply;
  for (const auto& chat : chats) EXPECT_TRUE(chat->Read(&reply) && chat->Finish().ok());
  EXPECT_TRUE(blocking.get().ok());
  EXPECT_THAT(order, ::testing::ElementsAre(Priority::kHigh, Priority::kNormal, Priority::kLow));
}

// --- ends ---

TEST_F(SuspendedHandlerTest, ACancelResumesTheHandler) {
  WatchTheEnd();
  const auto server = StartServer();
  const auto chat = OpenChat(ConnectStreams());
  chat->Cancel();
  cancelled.WaitFor(1);
  unwritten.WaitFor(1);
  EXPECT_EQ(chat->Finish().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(SuspendedHandlerTest, TheDeadlineResumesTheHandler) {
  WatchTheEnd();
  const auto server = StartServer();
  const auto chat = ConnectStreams().Chat({.timeout = absl::Milliseconds(100)});
  cancelled.WaitFor(1);
  unwritten.WaitFor(1);
  EXPECT_EQ(chat->Finish().code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(SuspendedHandlerTest, TheEndOfTheChannelResumesAllItsHandlers) {
  constexpr size_t kChats = 100;
  WatchTheEnd();
  const auto server = StartServer({.max_handler_threads = 2});
  {
    const Streams::Stub stub = ConnectStreams();
    std::vector<std::unique_ptr<Chat>> chats;
    for (size_t i = 0; i < kChats; ++i) chats.push_back(OpenChat(stub));
  }
  ended.WaitFor(kChats);
  EXPECT_EQ(cancelled.value(), kChats);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0 && ConnectionCount(*server) == 0; }));
}

// Those that wait for turns when their client goes: each has one all the same.
TEST_F(SuspendedHandlerTest, WhoIsQueuedWhenItsClientGoesHasItsTurn) {
  Event running;
  Event may_end;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    running.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  WatchTheEnd();
  const auto server = StartServer({.max_handler_threads = 1});
  const Echo::Stub other = ConnectStub();
  Pending blocking;
  {
    const Streams::Stub stub = ConnectStreams();
    const auto one = OpenChat(stub);
    const auto two = OpenChat(stub);
    blocking = SayAsync(other, "has the only place");
    running.Wait();
    ASSERT_TRUE(one->Write(MakeBlob("x")) && two->Write(MakeBlob("x")));
    ASSERT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), ", normal ") == 2; }));
  }
  EXPECT_EQ(ended.value(), 0u);
  may_end.Set();
  ended.WaitFor(2);
  EXPECT_TRUE(blocking.get().ok());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0 && ConnectionCount(*server) == 1; }));
}

TEST_F(SuspendedHandlerTest, ChatsGoOnWithinTheGrace) {
  const auto server = StartServer();
  const auto chat = OpenChat(ConnectStreams());
  server->Shutdown(kLong);
  EXPECT_TRUE(PingPong(*chat, 2));
  EXPECT_TRUE(chat->WritesDone() && chat->Finish().ok());
  server->Wait();
}

TEST_F(SuspendedHandlerTest, TheEndOfTheGraceResumesEachHandlerOnce) {
  constexpr size_t kChats = 200;
  WatchTheEnd();
  auto server = StartServer({.max_handler_threads = 4});
  const Streams::Stub stub = ConnectStreams();
  std::vector<std::unique_ptr<Chat>> chats;
  for (size_t i = 0; i < kChats; ++i) chats.push_back(OpenChat(stub));
  server.reset();
  EXPECT_EQ(ended.value(), kChats);
  EXPECT_EQ(cancelled.value(), kChats);
  for (const auto& chat : chats) {
    Blob reply;
    EXPECT_FALSE(chat->Read(&reply));
    const absl::Status status = chat->Finish();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted) << status;
  }
}

}  // namespace
}  // namespace nearcall::integration
