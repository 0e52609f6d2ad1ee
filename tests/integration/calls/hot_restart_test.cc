// SPDX-License-Identifier: Apache-2.0

// A server whose successor takes its listening sockets over (ServerOptions::allow_successor): nobody is refused, and no
// call is lost that ends within the grace.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "measured.h"
#include "stream_fixture.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// Each call of the load ends within the grace.
constexpr absl::Duration kGrace = absl::Seconds(20);

// Former servers that may still be draining.
constexpr size_t kMostFormer = 3;

class HotRestartTest : public StreamTest {
 protected:
  void SetUp() override { NEEDS_SOCKETS(); }
  static ServerOptions Succeeding(absl::Duration grace = kGrace) {
    return {.expected_clients = 48, .allow_successor = true, .successor_grace = grace};
  }
  std::unique_ptr<Server> Start(const std::vector<std::string>& addresses, absl::Duration grace = kGrace) {
    return Must(TryStart(addresses, grace));
  }
  absl::StatusOr<std::unique_ptr<Server>> TryStart(const std::vector<std::string>& addresses,
                                                   absl::Duration grace = kGrace) {
    ServerOptions options = Succeeding(grace);
    options.log_sink = log.sink();
    ServerBuilder builder(std::move(options));
    for (const std::string& address : addresses) builder.Listen(address);
    return builder.Register(&echo).Register(&streams).Start();
  }

  void Restart() {
    former_.push_back(std::move(server_));
    server_ = Start({Address()});
    if (former_.size() < kMostFormer) return;
    former_.front()->Wait();
    former_.erase(former_.begin());
  }

  // Makes such calls one after the other, on a thread, until the end.
  void Load(const char* style, std::function<absl::Status()> call) {
    threads_.emplace_back([this, style, call = std::move(call)] {
      while (!done_) {
        const absl::Status status = call();
        ++made_;
        if (status.ok()) continue;
        ++lost_;
        ADD_FAILURE() << style << ": " << status << ", " << static_cast<int>(ExecStateOf(status));
      }
    });
  }

  void RestartManyTimes() {
    for (size_t i = TortureCount("NEARCALL_HOT_RESTARTS", 10); i > 0; --i) {
      const size_t before = made_;
      EXPECT_TRUE(Eventually([&] { return made_ > before + 20; }));
      Restart();
    }
    done_ = true;
    for (std::thread& thread : threads_) thread.join();
    EXPECT_EQ(lost_, 0u) << "of " << made_;
  }

  std::unique_ptr<Server> server_ = Start({Address()});
  std::vector<std::unique_ptr<Server>> former_;
  std::vector<std::thread> threads_;
  std::atomic<bool> done_{false};
  std::atomic<size_t> made_{0};
  std::atomic<size_t> lost_{0};
};

absl::Status ReadAll(const Streams::Stub& stub) {
  const auto stream = stub.Down(MakeBlob("3"), InTime());
  size_t count = 0;
  for ([[maybe_unused]] const Blob& element : *stream) ++count;
  absl::Status status = stream->Finish();
  return !status.ok() || count == 3 ? status : absl::DataLossError("not all elements have come");
}

// One of whose opening the former server would hear nothing more is the caller's to repeat, if he has written.
absl::Status ChatOnce(const Streams::Stub& stub) {
  const auto stream = stub.Chat(InTime());
  Blob reply;
  const bool answered = stream->Write(MakeBlob("hi")) && stream->Read(&reply) && reply.data() == "hi";
  stream->WritesDone();
  absl::Status status = stream->Finish();
  if (!status.ok() && ExecStateOf(status) == ExecState::kNotStarted) return ChatOnce(stub);
  return !status.ok() || answered ? status : absl::DataLossError("no answer has come");
}

absl::Status SayByCoroutine(const Echo::CoStub& stub) {
  const auto call = [&]() -> Task<absl::Status> {
    const CallOptions options = InTime();
    const absl::StatusOr<Blob> reply = co_await stub.Say(MakeBlob("hi"), options);
    co_return reply.status();
  };
  return SyncWait(call());
}

absl::Status SayByCallback(const Echo::AsyncStub& stub) {
  std::promise<absl::Status> ended;
  stub.Say(
      MakeBlob("hi"), [&](const absl::StatusOr<Blob>& reply) { ended.set_value(reply.status()); }, InTime());
  return ended.get_future().get();
}

TEST_F(HotRestartTest, LosesNoCallOfAnyStyleAndRefusesNobody) {
  const auto channel = Connect();
  Load("blocking", [stub = Echo::Stub(channel)] { return stub.Say(MakeBlob("hi"), InTime()).status(); });
  Load("large",
       [stub = Echo::Stub(channel)] { return stub.Say(MakeBlob(std::string(100'000, 'x')), InTime()).status(); });
  Load("callback", [stub = Echo::AsyncStub(channel)] { return SayByCallback(stub); });
  Load("coroutine", [stub = Echo::CoStub(channel)] { return SayByCoroutine(stub); });
  Load("server streaming", [stub = Streams::Stub(channel)] { return ReadAll(stub); });
  Load("bidirectional", [stub = Streams::Stub(channel)] { return ChatOnce(stub); });
  Load("connecting", [this] {
    const auto fresh = Channel::Connect(Address(), {.log_sink = log.sink()});
    return fresh.ok() ? Echo::Stub(*fresh).Say(MakeBlob("hi"), InTime()).status() : fresh.status();
  });
  RestartManyTimes();
}

// --- the former server ---

TEST_F(HotRestartTest, ACallThatIsUnderWayEndsWithinTheGrace) {
  Event may_end;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    began.Set();
    may_end.Wait();
    return EchoBack(context, request, reply);
  };
  Restart();  // the handler is that of the next one, too
  Pending call = SayAsync(ConnectStub(), "hi", InTime());
  began.Wait();
  Restart();
  may_end.Set();
  EXPECT_EQ(call.get().status(), absl::OkStatus());
  former_.back()->Wait();
}

TEST_F(HotRestartTest, ACallThatTakesLongerIsCancelledAndItsServerEnds) {
  streams.chat = [this](ServerContext& context, ChatStream& stream) {
    began.Set();
    Blob element;
    while (stream.Read(&element)) {
    }
    if (context.IsCancelled()) saw_cancel.Set();
    return absl::OkStatus();
  };
  Restart();
  former_.clear();
  auto former = std::move(server_);
  former.reset();
  former = Start({Address()}, absl::ZeroDuration());
  const auto stream = ConnectStreams().Chat(InTime());
  began.Wait();
  server_ = Start({Address()});
  saw_cancel.Wait();
  former->Wait();
  EXPECT_EQ(stream->Finish().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("hi")).ok());
}

TEST_F(HotRestartTest, TheLogSaysWhoHasTakenTheNameOver) {
  Restart();
  EXPECT_TRUE(Eventually([&] { return log.Has("over from this server"); }));
}

// --- several names ---

TEST_F(HotRestartTest, AServerEndsWhenTheLastOfItsNamesIsTaken) {
  const auto former = Start({Address("one"), Address("two")});
  const auto successor_of_one = Start({Address("one")});
  EXPECT_TRUE(ConnectStub({}, Address("two")).Say(MakeBlob("hi")).ok());
  EXPECT_TRUE(ConnectStub({}, Address("one")).Say(MakeBlob("hi")).ok());
  const auto successor_of_two = Start({Address("two")});
  former->Wait();
  EXPECT_TRUE(ConnectStub({}, Address("two")).Say(MakeBlob("hi")).ok());
}

TEST_F(HotRestartTest, ASuccessorThatCannotStartChangesNothing) {
  const auto other = IntegrationTest::StartServer({}, Address("other"));
  const Echo::Stub stub = ConnectStub();
  EXPECT_THAT(TryStart({Address(), Address("other")}).status(),
              FailsWith(StatusCode::kAlreadyExists, "allow_successor"));
  EXPECT_TRUE(stub.Say(MakeBlob("hi")).ok());
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("hi")).ok());
  Restart();
  EXPECT_TRUE(stub.Say(MakeBlob("hi")).ok());
}

TEST_F(HotRestartTest, WithoutTheOptionANameStaysTaken) {
  EXPECT_THAT(ServerBuilder().Listen(Address()).Register(&echo).Start().status(),
              FailsWith(StatusCode::kAlreadyExists, "a live server has the name"));
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("hi")).ok());
}

TEST_F(HotRestartTest, TheNameGoesWithTheLastServer) {
  Restart();
  former_.clear();
  EXPECT_EQ(::access((directory() + "/echo").c_str(), F_OK), 0);
  server_.reset();
  EXPECT_NE(::access((directory() + "/echo").c_str(), F_OK), 0);
}

// --- processes that die ---

testing::Process StartPeer() {
  testing::Process server(ECHO_PEER, {"successor", Address("peer"), "4"});
  EXPECT_EQ(server.ReadLine(), "ready");
  return server;
}

TEST_F(HotRestartTest, AFormerServerThatIsKilledTakesNothingWithIt) {
  testing::Process former = StartPeer();
  const auto channel = Connect({}, Address("peer"));
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("hi"), InTime()).ok());
  const testing::Process successor = StartPeer();
  former.Kill();
  // Told by the former server, or by its death: a call that begins before may have been executed there.
  EXPECT_TRUE(Eventually([&] { return channel->state() == ChannelState::kIdle; }));
  EXPECT_TRUE(stub.Say(MakeBlob("hi"), InTime()).ok());
  EXPECT_TRUE(ConnectStub({}, Address("peer")).Say(MakeBlob("hi"), InTime()).ok());
}

// Killed wherever it just is: the name is either server's.
TEST_F(HotRestartTest, ASuccessorThatIsKilledWhileItStartsLeavesAServerOrAFreeName) {
  for (size_t i = TortureCount("NEARCALL_HOT_RESTARTS", 10); i > 0; --i) {
    testing::Process former = StartPeer();
    testing::Process successor(ECHO_PEER, {"successor", Address("peer"), "4"});
    absl::SleepFor(absl::Milliseconds(i % 7));  // to come upon it anywhere
    successor.Kill();
    const auto channel = Channel::Connect(Address("peer"), {.log_sink = log.sink()});
    // Where it had been told already that the name is its own, that is free; else the former one serves.
    if (channel.ok()) {
      EXPECT_TRUE(Echo::Stub(*channel).Say(MakeBlob("hi"), InTime()).ok());
    }
    former.Kill();
    const testing::Process next = StartPeer();
    EXPECT_TRUE(ConnectStub({}, Address("peer")).Say(MakeBlob("hi"), InTime()).ok());
  }
}

}  // namespace
}  // namespace nearcall::integration
