// SPDX-License-Identifier: Apache-2.0

// Calls without a reply: when they return, what becomes of them afterwards, and who hears of it.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "child.h"
#include "fixture.h"
#include "one_way.nearcall.pb.h"
#include "raw_peer.h"
#include "stream_service.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using internal::MakeMethod;
using internal::MethodKind;

constexpr char kFirst[] = "first";

// Each method runs a handler that the test chooses before the server starts.
class NoteService final : public Notes::Service {
 public:
  using NoteHandler = std::function<absl::Status(ServerContext&, const Blob&)>;

  NoteHandler note;

  absl::Status Note(ServerContext& context, const Blob& request) override { return note(context, request); }
  absl::Status MayBlock(ServerContext& context, const Blob& request) override { return note(context, request); }
};

class OneWayTest : public IntegrationTest {
 protected:
  // Notes what has come. The handler of `kFirst` says that it has begun, and ends when it may.
  OneWayTest() {
    notes.note = [this](ServerContext& context, const Blob& request) {
      if (request.data() == kFirst) {
        began.Set();
        may_end.Wait();
        ended.Set();
        return absl::OkStatus();
      }
      if (context.IsCancelled()) cancelled.Set();
      base::MutexLock lock(mutex_);
      came_.push_back(request.data());
      return absl::OkStatus();
    };
  }

  // With one place for handlers.
  std::unique_ptr<Server> StartServer(ServerOptions options = {}) {
    if (options.max_handler_threads == ServerOptions().max_handler_threads) options.max_handler_threads = 1;
    options.log_sink = log.sink();
    options.expected_clients = 48;
    return Must(ServerBuilder(std::move(options))
                    .Listen(Address())
                    .Register(&echo)
                    .Register(&notes)
                    .Register(&streams)
                    .Start());
  }

  Notes::Stub ConnectNotes(ChannelOptions options = {}) { return Notes::Stub(Connect(std::move(options))); }

  // The only place is taken, and requests are read all the same.
  void Occupy(const Notes::Stub& stub) {
    Must(stub.MayBlock(MakeBlob(kFirst)));
    began.Wait();
  }

  std::vector<std::string> came() const {
    base::MutexLock lock(mutex_);
    return came_;
  }
  bool CameAll(size_t count) const {
    return Eventually([&] { return came().size() >= count; });
  }

  NoteService notes;
  StreamService streams;
  Event began;
  Event may_end;
  Event ended;
  Event cancelled;

 private:
  mutable base::Mutex mutex_;
  std::vector<std::string> came_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(OneWayTest, EachCapacityDeliversOnce) {
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  EXPECT_TRUE(stub.Note(MakeBlob("a"), {.capacity = Capacity::kStarted}).ok());
  EXPECT_TRUE(stub.Note(MakeBlob("b")).ok());
  EXPECT_TRUE(stub.Note(MakeBlob("c"), {.capacity = Capacity::kLocal}).ok());
  EXPECT_TRUE(stub.MayBlock(MakeBlob("d")).ok());
  EXPECT_TRUE(stub.Note(MakeBlob(std::string(1 << 20, 'e'))).ok());
  EXPECT_TRUE(stub.Note(MakeBlob(std::string(1 << 20, 'f')), {.capacity = Capacity::kLocal}).ok());
  EXPECT_TRUE(CameAll(6));
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  EXPECT_EQ(came().size(), 6u);
}

TEST_F(OneWayTest, StartedMeansThatTheHandlerHasStartedAndNotThatItHasEnded) {
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  EXPECT_TRUE(stub.Note(MakeBlob(kFirst), {.capacity = Capacity::kStarted}).ok());
  EXPECT_FALSE(ended.is_set());
  began.Wait();
  // The next one starts when this one has ended.
  std::future<absl::Status> next =
      std::async(std::launch::async, [&] { return stub.Note(MakeBlob("next"), {.capacity = Capacity::kStarted}); });
  may_end.Set();
  EXPECT_TRUE(next.get().ok());
  EXPECT_TRUE(ended.is_set());
}

TEST_F(OneWayTest, QueuedMeansThatItHasASlotWhichTheStartOfItsHandlerFrees) {
  const auto server = StartServer({.max_queued_calls = 4});
  const Notes::Stub stub = ConnectNotes();
  Occupy(stub);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(stub.Note(MakeBlob("queued")).ok());
  const absl::Status full = stub.Note(MakeBlob("no"), {.when_full = WhenFull::kFailFast});
  EXPECT_THAT(full, FailsWith(StatusCode::kResourceExhausted, "4"));
  EXPECT_EQ(ExecStateOf(full), ExecState::kNotSent);
  const absl::Status late = stub.Note(MakeBlob("no"), {.timeout = absl::Milliseconds(20)});
  EXPECT_THAT(late, FailsWith(StatusCode::kDeadlineExceeded, ""));
  EXPECT_EQ(ExecStateOf(late), ExecState::kNotSent);
  // This one waits for a slot, without a deadline.
  std::thread waits([&] { EXPECT_TRUE(stub.Note(MakeBlob("waited")).ok()); });
  may_end.Set();
  waits.join();
  EXPECT_TRUE(CameAll(5));
  EXPECT_THAT(came(), ::testing::Not(::testing::Contains("no")));
}

// Nobody waits for a reply, and the thread that reads is in a handler.
TEST_F(OneWayTest, WhoWaitsForASlotRings) {
  const auto server = StartServer({.max_queued_calls = 2, .max_handler_threads = 8});
  const Notes::Stub stub = ConnectNotes();
  Must(stub.Note(MakeBlob(kFirst)));
  began.Wait();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(stub.Note(MakeBlob("read")).ok());
  EXPECT_FALSE(ended.is_set());
  may_end.Set();
  EXPECT_TRUE(CameAll(20));
}

TEST_F(OneWayTest, LocalKeepsWhatTheServerHasNoSlotForUpToABound) {
  const auto server = StartServer({.max_queued_calls = 2});
  const Notes::Stub stub = ConnectNotes({.max_queued_bytes = size_t{64} << 10});
  Occupy(stub);
  const Blob note = MakeBlob(std::string(1000, 'x'));
  size_t taken = 0;
  absl::Status refused;
  while (taken < 1000 && (refused = stub.Note(note, {.capacity = Capacity::kLocal})).ok()) ++taken;
  EXPECT_GT(taken, 20u);
  EXPECT_LT(taken, 100u);
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, "max_queued_bytes"));
  EXPECT_EQ(ExecStateOf(refused), ExecState::kNotSent);
  may_end.Set();
  EXPECT_TRUE(CameAll(taken));
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  EXPECT_EQ(came().size(), taken);
}

TEST_F(OneWayTest, TheEndOfTheChannelLetsLocalCallsLeave) {
  const auto server = StartServer({.max_queued_calls = 2});
  size_t kept = 0;
  {
    const Notes::Stub stub = ConnectNotes();
    Occupy(stub);
    for (; kept < 50; ++kept) EXPECT_TRUE(stub.Note(MakeBlob("kept"), {.capacity = Capacity::kLocal}).ok());
    may_end.Set();
  }
  EXPECT_TRUE(CameAll(kept));
}

TEST_F(OneWayTest, LocalCallsThatCannotLeaveAreLostAndLogged) {
  const auto server = StartServer({.max_queued_calls = 1});
  std::shared_ptr<Channel> channel = Connect({.log_sink = log.sink()});
  Notes::Stub stub(channel);
  Occupy(stub);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(stub.Note(MakeBlob("lost"), {.timeout = absl::Milliseconds(20), .capacity = Capacity::kLocal}).ok());
  }
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "3 one-way calls lost"); }));
  EXPECT_TRUE(Eventually([&] { return log.Has("a one-way call of nearcall.integration.Notes/Note is lost"); }));
  may_end.Set();
}

TEST_F(OneWayTest, WhatWasSentIsDoneThoughItsClientHasGone) {
  const auto server = StartServer();
  {
    const Notes::Stub stub = ConnectNotes();
    Occupy(stub);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(stub.Note(MakeBlob("sent")).ok());
  }
  // It counts until all is done.
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), ", gone"); }));
  may_end.Set();
  EXPECT_TRUE(CameAll(20));
  EXPECT_FALSE(cancelled.is_set());
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0 && CallsActive(*server) == 0; }))
      << server->DebugString();
  EXPECT_EQ(came().size(), 20u);
}

TEST_F(OneWayTest, AClientThatHasGoneCountsUntilWhatItSentIsDone) {
  const auto server = StartServer({.max_connections_per_uid = 1});
  {
    const Notes::Stub stub = ConnectNotes();
    Occupy(stub);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(stub.Note(MakeBlob("sent")).ok());
  }
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), ", gone"); }));
  EXPECT_THAT(Channel::Connect(Address()).status(),
              FailsWith(StatusCode::kResourceExhausted, "max_connections_per_uid"));
  may_end.Set();
  EXPECT_TRUE(Eventually([&] { return Channel::Connect(Address()).ok(); }));
}

TEST_F(OneWayTest, WhatWasSentIsDoneThoughItsClientWasKilled) {
  Child client([](Link& parent) {
    parent.Await();
    const Notes::Stub stub(Must(Channel::Connect(Address())));
    for (int i = 0; i < 20; ++i) Must(stub.Note(MakeBlob("sent")));
    ::kill(::getpid(), SIGKILL);
  });
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  Occupy(stub);
  client.link().Tell();
  EXPECT_EQ(client.Join(), -SIGKILL);
  may_end.Set();
  EXPECT_TRUE(CameAll(20));
  EXPECT_FALSE(cancelled.is_set());
}

// While one of them waits it reads no other. (A queue of `mq:` may have room for one.)
TEST_F(OneWayTest, AServerThatGoesAwayStartsWhatItReadsAfterwards) {
  const auto server = StartServer({.max_queued_bytes = 0});
  const Notes::Stub stub = ConnectNotes();
  Occupy(stub);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(stub.Note(MakeBlob("sent")).ok());
  server->Shutdown(kLong);
  may_end.Set();
  server->Wait();
  EXPECT_EQ(came().size(), 2u);
}

TEST_F(OneWayTest, TheEndOfTheServerCancelsWhatHasOutlivedItsClient) {
  notes.note = [this](ServerContext& context, const Blob&) {
    const std::stop_callback on_stop(context.stop_token(), [this] { cancelled.Set(); });
    began.Set();
    cancelled.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  {
    const Notes::Stub stub = ConnectNotes();
    EXPECT_TRUE(stub.Note(MakeBlob("runs")).ok());
    began.Wait();
  }
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  EXPECT_FALSE(cancelled.is_set());
  server->Shutdown();
  server->Wait();
  EXPECT_TRUE(cancelled.is_set());
}

TEST_F(OneWayTest, TheEndOfTheServerDropsWhatHasNotStarted) {
  notes.note = [this, note = notes.note](ServerContext& context, const Blob& request) {
    const std::stop_callback on_stop(context.stop_token(), [this] { cancelled.Set(); });
    return note(context, request);
  };
  const auto server = StartServer();
  {
    const Notes::Stub stub = ConnectNotes();
    Occupy(stub);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(stub.Note(MakeBlob("never")).ok());
  }
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(server->DebugString(), ", gone"); }));
  server->Shutdown();
  cancelled.Wait();
  static_cast<void>(server->DebugString());  // once it has looked at all calls, all are cancelled
  may_end.Set();
  server->Wait();
  EXPECT_THAT(came(), ::testing::IsEmpty());
}

TEST_F(OneWayTest, AHandlersErrorIsCountedAndLoggedAndNotTold) {
  notes.note = [](ServerContext&, const Blob& request) -> absl::Status {
    if (request.data() == "throw") throw 1;
    return absl::DataLossError("the disk is full");
  };
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  EXPECT_TRUE(stub.Note(MakeBlob("fail"), {.capacity = Capacity::kStarted}).ok());
  EXPECT_TRUE(stub.Note(MakeBlob("throw"), {.capacity = Capacity::kStarted}).ok());
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "one-way and failed: ") == 2; }));
  EXPECT_TRUE(Eventually([&] { return log.Has("Notes/Note has ended with DATA_LOSS: the disk is full"); }));
}

TEST_F(OneWayTest, MetadataAndPriorityArrive) {
  Event right;
  notes.note = [&](ServerContext& context, const Blob&) {
    const Metadata& metadata = context.client_metadata();
    if (context.priority() == Priority::kHigh && metadata.Get("key") == "value") right.Set();
    context.trailing_metadata().Add("nobody", "sees-it");
    return absl::OkStatus();
  };
  const auto server = StartServer();
  CallOptions options{.priority = Priority::kHigh};
  options.metadata.Add("key", "value");
  ResponseMetadata response;
  options.response_metadata = &response;
  options.capacity = Capacity::kStarted;
  EXPECT_TRUE(ConnectNotes().Note(MakeBlob(""), options).ok());
  right.Wait();
  EXPECT_TRUE(response.trailing.empty());
}

TEST_F(OneWayTest, WhatHasNotStartedAtItsDeadlineDoesNotStart) {
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  Occupy(stub);
  const absl::Time deadline = absl::Now() + absl::Milliseconds(30);
  EXPECT_TRUE(stub.Note(MakeBlob("late"), {.deadline = deadline}).ok());
  EXPECT_TRUE(stub.Note(MakeBlob("patient")).ok());
  // Later: whoever loses the CPU between two clocks has a later one.
  EXPECT_TRUE(Eventually([&] { return absl::Now() > deadline + absl::Milliseconds(100); }));
  may_end.Set();
  EXPECT_TRUE(CameAll(1));
  EXPECT_THAT(came(), ::testing::ElementsAre("patient"));
}

TEST_F(OneWayTest, AStopRequestEndsAWaitForTheStart) {
  const auto server = StartServer();
  const Notes::Stub stub = ConnectNotes();
  Occupy(stub);
  std::stop_source stop;
  std::thread stops([&] { stop.request_stop(); });
  const absl::Status status =
      stub.Note(MakeBlob("stopped"), {.stop_token = stop.get_token(), .capacity = Capacity::kStarted});
  stops.join();
  EXPECT_THAT(status, FailsWith(StatusCode::kCancelled, ""));
  may_end.Set();
}

TEST_F(OneWayTest, ACallbackHearsOfTheStart) {
  const auto server = StartServer();
  const std::shared_ptr<Channel> channel = Connect();
  const Notes::AsyncStub async(channel);
  std::promise<absl::Status> started;
  async.Note(MakeBlob(kFirst), [&](absl::Status status) { started.set_value(std::move(status)); });
  EXPECT_TRUE(started.get_future().get().ok());
  EXPECT_FALSE(ended.is_set());
  may_end.Set();
}

TEST_F(OneWayTest, AServerWithoutTheServiceIsTold) {
  const auto server = IntegrationTest::StartServer();
  const absl::Status status = ConnectNotes().Note(MakeBlob(""), {.capacity = Capacity::kStarted});
  EXPECT_THAT(status, FailsWith(StatusCode::kUnimplemented, "nearcall.integration.Notes/Note"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
}

// --- two files that differ ---

TEST_F(OneWayTest, AMethodThatIsOneWayOnTheServersSideOnlyIsUnaryForItsCaller) {
  notes.note = [](ServerContext&, const Blob&) { return absl::DataLossError("the disk is full"); };
  constexpr internal::MethodInfo kNote =
      MakeMethod("nearcall.integration.Notes/Note", MethodKind::kUnary, Priority::kNormal, 0, false);
  const auto server = StartServer();
  Blob reply;
  const absl::Status status = Connect()->BlockingCall(kNote, MakeBlob(""), reply, {});
  EXPECT_THAT(status, FailsWith(StatusCode::kDataLoss, "the disk is full"));
  EXPECT_EQ(NumberIn(server->DebugString(), "one-way and failed: "), 0u);
}

TEST_F(OneWayTest, AMethodThatIsOneWayOnTheClientsSideOnlyRunsAndItsReplyIsDropped) {
  Event ran;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ran.Set();
    return EchoBack(context, request, reply);
  };
  constexpr internal::MethodInfo kSay =
      MakeMethod("nearcall.integration.Echo/Say", MethodKind::kOneWay, Priority::kNormal, 0, false);
  const auto server = StartServer();
  const std::shared_ptr<Channel> channel = Connect();
  EXPECT_TRUE(channel->SendOneWay(kSay, MakeBlob("hello"), {.capacity = Capacity::kStarted}).ok());
  ran.Wait();
  EXPECT_EQ(Must(Echo::Stub(channel).Say(MakeBlob("still here"))).data(), "still here");
}

TEST_F(OneWayTest, AMethodThatStreamsCannotBeCalledOneWay) {
  constexpr internal::MethodInfo kUp =
      MakeMethod("nearcall.integration.Streams/Up", MethodKind::kOneWay, Priority::kNormal, 0, false);
  const auto server = StartServer();
  EXPECT_THAT(Connect()->SendOneWay(kUp, MakeBlob(""), {.capacity = Capacity::kStarted}),
              FailsWith(StatusCode::kUnimplemented, "Streams/Up"));
}

// --- who breaks the rules ---

wire::FrameHeader OneWayRequest(const RawPeer& peer, uint64_t call_id) {
  wire::FrameHeader header = peer.Header(wire::FrameKind::kRequest, 0);
  header.flags |= wire::kOneWay | wire::kEnd;
  header.call_id = call_id;
  header.method_id = internal::MethodId("nearcall.integration.Notes/Note");
  return header;
}

TEST_F(OneWayTest, TheReplyIsAHeaderAloneAndComesAtTheStart) {
  const auto server = StartServer();
  RawClient client(Address());
  Occupy(ConnectNotes());
  client.Send(OneWayRequest(client, 1 << 16));
  may_end.Set();
  const wire::FrameHeader reply = client.Receive();
  EXPECT_EQ(reply.kind, wire::FrameKind::kReply);
  EXPECT_EQ(reply.flags, wire::kFirst | wire::kLast);
  EXPECT_EQ(reply.call_id, uint64_t{1} << 16);
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.message_size, 0u);
}

TEST_F(OneWayTest, AStreamCannotBeOneWay) {
  const auto server = StartServer();
  for (const uint8_t flags : {uint8_t{0}, uint8_t{wire::kEnd | wire::kElements}}) {
    RawClient client(Address());
    wire::FrameHeader header = OneWayRequest(client, 1 << 16);
    header.flags = static_cast<uint8_t>(wire::kFirst | wire::kLast | wire::kOneWay | flags);
    client.Send(header);
    EXPECT_TRUE(client.PeerHangsUp());
  }
  EXPECT_THAT(came(), ::testing::IsEmpty());
}

TEST_F(OneWayTest, AReplyThatBringsSomethingIsTakenForTheStart) {
  RawDoor door(Address());
  auto connected = std::async(std::launch::async, [this] { return Connect(); });
  RawServer server(door);
  const std::shared_ptr<Channel> channel = connected.get();
  auto call = std::async(std::launch::async,
                         [&] { return Notes::Stub(channel).Note(MakeBlob(""), {.capacity = Capacity::kStarted}); });
  const wire::FrameHeader request = server.Receive();
  EXPECT_TRUE(request.has(wire::kOneWay));
  wire::FrameHeader reply = server.Header(wire::FrameKind::kReply, 5);
  reply.call_id = request.call_id;
  reply.method_id = request.method_id;
  server.Send(reply);
  EXPECT_TRUE(call.get().ok());
}

}  // namespace
}  // namespace nearcall::integration
