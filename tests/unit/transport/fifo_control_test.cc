// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "fifo.h"
#include "transport/rendezvous/control_message.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = ControlMessage::Kind;
using ReadState = Transport::ReadState;

bool Eventually(const std::function<bool()>& condition) {
  for (const base::SteadyNs end = Soon(); base::NowNs() < end; absl::SleepFor(absl::Milliseconds(1))) {
    if (condition()) return true;
  }
  return false;
}

class Sink final : public ControlSink {
 public:
  void OnControl(const ControlMessage& message) override {
    Add(absl::StrCat(static_cast<int>(message.kind), " ", message.call_id,
                     message.progress ? absl::StrCat(" ", message.progress->handlers_started) : ""));
  }
  std::optional<Progress> OnPing() override { return Progress{.handlers_started = 5}; }
  void OnPeerGone() override { Add("gone"); }
  void OnControlViolation(const char* what) override { Add(what); }

  std::vector<std::string> heard() {
    base::MutexLock lock(mutex_);
    return heard_;
  }
  // Without rings, which may come at any time.
  std::vector<std::string> told() {
    std::vector<std::string> all = heard();
    std::erase(all, "5 0");
    return all;
  }
  bool Hears(size_t count) {
    return Eventually([&] { return heard().size() >= count; });
  }

 private:
  void Add(std::string what) {
    base::MutexLock lock(mutex_);
    heard_.push_back(std::move(what));
  }

  base::Mutex mutex_;
  std::vector<std::string> heard_ ABSL_GUARDED_BY(mutex_);
};

// One end, as a session has it.
struct End {
  explicit End(Connection made) : connection(std::move(made)) {
    channel = WatchControl(connection.TakeControl(), sink).value();
  }
  Transport& transport() { return *connection.transport; }
  // What is between frames is taken on the way.
  ReadState Look() {
    size_t size = 0;
    return transport().Peek(size);
  }

  Connection connection;
  std::shared_ptr<Sink> sink = std::make_shared<Sink>();
  std::unique_ptr<ControlChannel> channel;
};

void SendFrame(Transport& transport, size_t size) {
  const std::span<std::byte> room = transport.Reserve(size, 0);
  ASSERT_EQ(room.size(), size);
  transport.Fill(room, std::vector<std::byte>(size, std::byte{1}));
  transport.Commit();
}

struct BothFifoEnds {
  BothFifoEnds() {
    const auto listener = Listener::Bind(meeting_.address()).value();
    Connection client = meeting_.Meet(*listener, *meeting_.Call()).value();
    while (meeting_.served.empty()) {
      if (meeting_.handshakes.at(0)->Step() == ServerHandshake::Progress::kDone) {
        meeting_.served.push_back(meeting_.handshakes[0]->Take());
      }
    }
    client_ = std::make_unique<End>(std::move(client));
    server_ = std::make_unique<End>(std::move(meeting_.served[0]));
  }

  FifoMeeting meeting_;
  std::unique_ptr<End> client_;
  std::unique_ptr<End> server_;
};

class FifoControlTest : public ::testing::Test, protected BothFifoEnds {};

TEST_F(FifoControlTest, MessagesAreHeardInOrderWhenTheyAreRead) {
  client_->channel->Send({.kind = Kind::kCancel, .call_id = 7});
  client_->channel->Send({.kind = Kind::kRing, .call_id = 8});
  EXPECT_THAT(server_->sink->told(), IsEmpty()) << "nobody has read";
  EXPECT_EQ(server_->Look(), ReadState::kEmpty);
  EXPECT_TRUE(Eventually([&] { return server_->sink->told().size() >= 2; }));
  EXPECT_THAT(server_->sink->told(), ElementsAre("1 7", "5 8"));
}

TEST_F(FifoControlTest, APingIsAnsweredByWhoReadsIt) {
  client_->channel->Send({.kind = Kind::kPing, .call_id = 3});
  EXPECT_EQ(server_->Look(), ReadState::kEmpty);
  EXPECT_TRUE(Eventually([&] {
    const auto heard = client_->sink->heard();
    return client_->Look() == ReadState::kEmpty && std::find(heard.begin(), heard.end(), "4 3 5") != heard.end();
  }));
  EXPECT_THAT(server_->sink->told(), IsEmpty());
}

TEST_F(FifoControlTest, BetweenFramesAndNeverWithinOne) {
  Transport& transport = client_->transport();
  // More than the pipe takes. It ends within a frame, as the first one is a small one (else it would be full to the
  // byte).
  SendFrame(transport, 5000);
  while (transport.Flush()) SendFrame(transport, transport.max_frame_size());
  // There is room now, but that is of the frame.
  size_t first = 0;
  ASSERT_EQ(server_->transport().Peek(first), ReadState::kFrame);
  EXPECT_EQ(first, 5000u);
  server_->transport().Pop();
  server_->transport().Release();
  client_->channel->Send({.kind = Kind::kCancel, .call_id = 7});
  size_t frames = 1;
  EXPECT_TRUE(Eventually([&] {
    transport.Flush();
    size_t size = 0;
    while (server_->transport().Peek(size) == ReadState::kFrame) {
      EXPECT_EQ(size, transport.max_frame_size());
      server_->transport().Pop();
      server_->transport().Release();
      ++frames;
    }
    return !server_->sink->told().empty();
  }));
  EXPECT_GT(frames, 3u);
  EXPECT_EQ(server_->transport().error(), absl::OkStatus());
}

TEST_F(FifoControlTest, OneThatFindsNoRoomIsSentWhenThereIs) {
  Transport& transport = client_->transport();
  for (int i = 0; i < 4; ++i) {
    SendFrame(transport, transport.max_frame_size());
    transport.Flush();
  }
  ASSERT_TRUE(transport.Flush()) << "the pipe is full, to the byte";
  client_->channel->Send({.kind = Kind::kCancel, .call_id = 7});
  // Nobody writes any more, but whoever watches the FIFO.
  EXPECT_TRUE(Eventually([&] {
    if (server_->Look() == ReadState::kFrame) server_->transport().Pop();
    server_->transport().Release();
    return !server_->sink->told().empty();
  }));
  EXPECT_THAT(server_->sink->told(), ElementsAre("1 7"));
}

// A client that has no calls, a server whose thread is in a handler.
TEST_F(FifoControlTest, EitherSideIsRungWhenSomethingIsLeftUnread) {
  for (int side = 0; side < 2; ++side, std::swap(client_, server_)) {
    SendFrame(server_->transport(), 100);
    server_->transport().Flush();
    EXPECT_TRUE(client_->sink->Hears(1));
    EXPECT_EQ(client_->sink->heard().front(), "5 0");
    EXPECT_TRUE(client_->sink->Hears(2)) << "it has not been read";
  }
}

TEST_F(FifoControlTest, AFloodIsBounded) {
  for (size_t i = 0; i < base::kMaxQueuedControlMessages + 500; ++i) {
    client_->channel->Send({.kind = Kind::kCancel, .call_id = i});
    if (i % 100 == 0) server_->Look();
  }
  EXPECT_TRUE(Eventually([&] {
    server_->Look();
    const auto heard = server_->sink->told();
    return !heard.empty() && heard.back() == absl::StrCat("1 ", base::kMaxQueuedControlMessages + 499);
  }));
}

TEST_F(FifoControlTest, TheEndIsHeardByBothOnce) {
  client_->channel->HangUp();
  EXPECT_TRUE(Eventually([&] { return !server_->sink->told().empty(); }));
  EXPECT_THAT(server_->sink->told(), ElementsAre("gone"));
  server_.reset();
  EXPECT_THAT(client_->sink->heard(), IsEmpty()) << "it was its own end";
}

TEST_F(FifoControlTest, WhatWasSentBeforeTheEndIsStillRead) {
  SendFrame(client_->transport(), 100);
  client_->transport().Flush();
  client_.reset();
  EXPECT_TRUE(Eventually([&] { return !server_->sink->told().empty(); }));
  EXPECT_EQ(server_->Look(), ReadState::kFrame);
  server_->transport().Pop();
  server_->transport().Release();
  EXPECT_EQ(server_->Look(), ReadState::kEmpty);
  EXPECT_EQ(server_->transport().error(), absl::OkStatus());
}

TEST_F(FifoControlTest, NobodyReadingIsNoSignalAndNoError) {
  server_.reset();
  for (int i = 0; i < 100; ++i) {
    client_->channel->Send({.kind = Kind::kRing});
    if (client_->transport().Flush() && !client_->transport().Reserve(100, 0).empty()) client_->transport().Commit();
  }
  EXPECT_EQ(client_->transport().error(), absl::OkStatus());
}

TEST_F(FifoControlTest, AForkedChildThatLetsGoHasEndedNothing) {
  int has_let_go[2];
  ASSERT_EQ(::pipe(has_let_go), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    client_->channel->Send({.kind = Kind::kRing, .call_id = 1});
    client_.reset();
    if (::write(has_let_go[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char said = 0;
  ASSERT_EQ(::read(has_let_go[0], &said, 1), 1);
  for (const int end : has_let_go) ::close(end);
  client_->channel->Send({.kind = Kind::kRing, .call_id = 2});
  EXPECT_TRUE(Eventually([&] {
    server_->Look();
    return !server_->sink->told().empty();
  }));
  EXPECT_THAT(server_->sink->told(), ElementsAre("5 2"));
  client_.reset();
  EXPECT_TRUE(Eventually([&] { return server_->sink->told().back() == "gone"; })) << "while the child lives";
  ::kill(child, SIGKILL);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(FifoControlTest, ANoteThatIsNoneBreaksTheConnection) {
  for (const size_t size : {size_t{15}, size_t{17}, size_t{65}, size_t{0}}) {
    BothFifoEnds other;
    const int fifo = other.client_->transport().event_fds().writable;
    const uint32_t length = (uint32_t{1} << 31) | static_cast<uint32_t>(size);
    EXPECT_EQ(::write(fifo, &length, sizeof(length)), 4);
    EXPECT_EQ(::write(fifo, std::string(65, 'x').data(), size), static_cast<ssize_t>(size));
    EXPECT_EQ(other.server_->Look(), ReadState::kBroken) << size;
    EXPECT_EQ(other.server_->transport().error().code(), absl::StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace nearcall::transport::testing
