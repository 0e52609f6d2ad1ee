// SPDX-License-Identifier: Apache-2.0

// Processes that die in the middle of streams.
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "measured.h"
#include "stream_fixture.h"
#include "support/process.h"
#include "suspending_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using testing::Process;

class StreamKilled : public StreamTest {
 protected:
  // It has ended, once and for all, because the server is gone.
  template <typename Stream>
  static void ExpectUnavailable(Stream& stream) {
    Blob element;
    EXPECT_FALSE(stream.Read(&element));
    const absl::Status status = stream.Finish();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted) << status;
    EXPECT_EQ(stream.Finish(), status);
  }
};

TEST_F(StreamKilled, WhatADeadServerHasSentIsReadable) {
  Child server([this](Link& parent) {
    streams.down = [&](ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
      absl::Status status = CountDown(context, request, writer);
      parent.Tell("written");
      may_read.Wait();
      return status;
    };
    const auto running = StartServer();
    parent.Tell("ready");
    parent.Await();
  });
  ASSERT_EQ(server.link().Await(), "ready");
  const auto stream = ConnectStreams().Down(MakeBlob("5"), InTime());
  ASSERT_EQ(server.link().Await(), "written");
  server.Kill();
  Blob element;
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(stream->Read(&element)) << i << ": " << stream->Finish();
    EXPECT_EQ(element.data(), absl::StrCat(i));
  }
  ExpectUnavailable(*stream);
}

TEST_F(StreamKilled, HandlerOfADeadClientIsTold) {
  Child client([this](Link& parent) {
    parent.Await();
    const auto stream = ConnectStreams().Chat(InTime());
    Blob reply;
    EXPECT_TRUE(stream->Write(MakeBlob("x")) && stream->Read(&reply));
    parent.Tell("in the stream");
    parent.Await();
  });
  streams.chat = [this](ServerContext& context, ChatStream& stream) {
    Blob element;
    EXPECT_TRUE(stream.Read(&element));
    EXPECT_TRUE(stream.Write(element));
    EXPECT_FALSE(stream.Read(&element));
    if (context.IsCancelled()) saw_cancel.Set();
    EXPECT_FALSE(stream.Write(MakeBlob("nobody waits")));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  client.link().Tell();
  ASSERT_EQ(client.link().Await(), "in the stream");
  client.Kill();
  saw_cancel.Wait();
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0 && ConnectionCount(*server) == 0; }));
  const auto next = ConnectStreams().Chat(InTime());
  Blob reply;
  EXPECT_TRUE(next->Write(MakeBlob("x")) && next->Read(&reply));
}

// Many streams of one channel, each in its thread, until their server is killed. NEARCALL_TORTURE_ROUNDS says how
// often.
TEST_F(StreamKilled, StreamsOfADeadServerEndUnavailableWithoutAGap) {
  constexpr size_t kThreads = 16;
  std::shared_ptr<Channel> channel;
  for (size_t round = TortureCount("NEARCALL_TORTURE_ROUNDS", 5); round > 0 && !HasFailure(); --round) {
    Process server(ECHO_PEER, {"server", Address(), "256"});
    ASSERT_EQ(server.ReadLine(), "ready");
    if (channel == nullptr) channel = Connect();
    Counter busy;
    std::vector<std::thread> threads;
    for (size_t number = 0; number < kThreads; ++number) {
      threads.emplace_back([&, number] {
        const Streams::Stub stub(channel);
        if (number % 2 == 0) {
          const auto chat = stub.Chat(InTime());
          Blob reply;
          for (size_t i = 0; chat->Write(Element(i, 100 * number)) && chat->Read(&reply); ++i) {
            EXPECT_TRUE(IsElement(reply, i, 100 * number));
            if (i == 10) busy.Add();
          }
          ExpectUnavailable(*chat);
        } else {
          const auto down = stub.Down(MakeBlob("1000000000"), InTime());
          size_t count = 0;
          for (const Blob& element : *down) {
            EXPECT_EQ(element.data(), absl::StrCat(count));
            if (++count == 10) busy.Add();
          }
          ExpectUnavailable(*down);
        }
      });
    }
    busy.WaitFor(kThreads);
    server.Kill();
    for (std::thread& thread : threads) thread.join();
  }
}

// ---- handlers of which no thread waits ----

using SuspendedKilled = SuspendingTest;

TEST_F(SuspendedKilled, HandlersOfADeadClientAreResumedOnceEach) {
  constexpr size_t kChats = 50;
  Child client([this](Link& parent) {
    parent.Await();
    const Streams::Stub stub = ConnectStreams();
    std::vector<std::unique_ptr<Chat>> chats;
    for (size_t i = 0; i < kChats; ++i) chats.push_back(OpenChat(stub));
    parent.Tell("all are open");
    parent.Await();
  });
  WatchTheEnd();
  const auto server = StartServer({.max_handler_threads = 2});
  client.link().Tell();
  ASSERT_EQ(client.link().Await(), "all are open");
  client.Kill();
  ended.WaitFor(kChats);
  EXPECT_EQ(cancelled.value(), kChats);
  EXPECT_EQ(unwritten.value(), kChats);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0 && ConnectionCount(*server) == 0; }));
  EXPECT_TRUE(PingPong(*ConnectStreams().Chat(InTime())));
}

}  // namespace
}  // namespace nearcall::integration
