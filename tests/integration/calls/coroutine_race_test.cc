// SPDX-License-Identifier: Apache-2.0

// Ends of coroutines' calls that meet: the answer, a cancel, a request to stop, the deadline, the end of a call object
// or of who awaits it, of its channel, of its server. Chance says which comes first, and is helped along: each pair
// meets many times, one of them a little later each time. Whatever came first, a call has one end at each side, and
// nothing of it is left.
#include <atomic>
#include <barrier>
#include <coroutine>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "co_service.h"
#include "stream_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using nearcall::testing::kSanitizers;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Key;

constexpr size_t kRounds = kSanitizers ? 100 : 400;

// So much later is one of the two in this round: at last as much as a call takes.
base::SteadyNs DelayIn(size_t round) {
  constexpr size_t kLongest = kSanitizers ? 1'000'000 : 100'000;
  return static_cast<base::SteadyNs>(kLongest * round / kRounds);
}

// For moments that are closer than a thread can be put to sleep for.
void SpinFor(base::SteadyNs delay) {
  const base::SteadyNs until = base::AddNs(base::NowNs(), delay);
  while (base::NowNs() < until) continue;
}

// Runs what a channel gives it where and when the test says.
class ByHand {
 public:
  Executor executor() {
    return [this](absl::AnyInvocable<void() &&> task) {
      const base::MutexLock lock(mutex_);
      tasks_.push_back(std::move(task));
    };
  }

  // All that is there.
  void Run() {
    while (std::optional<absl::AnyInvocable<void()&&>> task = Next()) (*std::move(task))();
  }

 private:
  std::optional<absl::AnyInvocable<void() &&>> Next() {
    const base::MutexLock lock(mutex_);
    if (tasks_.empty()) return std::nullopt;
    std::optional<absl::AnyInvocable<void()&&>> task = std::move(tasks_.front());
    tasks_.pop_front();
    return task;
  }

  base::Mutex mutex_;
  std::deque<absl::AnyInvocable<void() &&>> tasks_ ABSL_GUARDED_BY(mutex_);
};

class CoroutineRaceTest : public IntegrationTest {
 protected:
  CoroutineRaceTest() {
    co_echo.say = [this](ServerContext&, const Blob& request, Blob& reply) -> Task<absl::Status> {
      begun_.Add();
      if (meets_) meeting_.arrive_and_wait();
      reply = request;
      ended_.Add();
      co_return absl::OkStatus();
    };
    streams.chat = [this](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
      begun_.Add();
      absl::Status status = co_await CoChatBack(context, stream);
      ended_.Add();
      co_return status;
    };
    server = StartServer("echo");
    channel = Connect();
  }

  std::unique_ptr<Server> StartServer(absl::string_view name) {
    ServerOptions options;
    options.log_sink = log.sink();
    options.expected_clients = 48;
    return Must(ServerBuilder(std::move(options)).Listen(Address(name)).Register(&co_echo).Register(&streams).Start());
  }

  Echo::CoStub echo_stub() const { return Echo::CoStub(channel); }
  Streams::CoStub streams_stub() const { return Streams::CoStub(channel); }

  // Each Say() meets a rival, which does `act` on another thread, `delay` after the handler begins to answer.
  void MeetRivals() { meets_ = true; }
  template <typename Act>
  std::thread Rival(base::SteadyNs delay, Act act) {
    return std::thread([this, delay, act = std::move(act)] {
      meeting_.arrive_and_wait();
      SpinFor(delay);
      act();
    });
  }

  // Each of these is one end.
  Task<> Ask(UnaryCall<Blob>& call, size_t number) {
    const absl::StatusOr<Blob> reply = co_await call;
    EXPECT_TRUE(!reply.ok() || IsElement(*reply, number, 100));
    Note(reply.status());
  }
  Task<> AskOnce(Echo::CoStub stub, CallOptions options = {}) {
    auto call = stub.Say(Element(1, 100), options);
    co_await Ask(call, 1);
  }
  // Talks until the call has ended.
  Task<> Talk(CoReaderWriter<Blob, Blob> chat) {
    Blob reply;
    for (size_t i = 0; co_await chat.Write(Element(i, 100)) && co_await chat.Read(&reply); ++i) {
      EXPECT_TRUE(IsElement(reply, i, 100));
      answers.Add();
    }
    Note(co_await chat.Finish());
  }
  void Note(const absl::Status& status) {
    const base::MutexLock lock(mutex_);
    ++ends_[status.code()];
    noted.Add();
  }

  // There were so many ends, of these kinds, and as many at the other side; the connection is as good as before.
  template <typename Codes>
  void ExpectEnds(size_t count, Codes codes) {
    EXPECT_EQ(noted.value(), count);
    {
      const base::MutexLock lock(mutex_);
      EXPECT_THAT(ends_, Each(Key(codes)));
    }
    ExpectNothingLeft();
  }
  void ExpectNothingLeft() {
    meets_ = false;
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; })) << server->DebugString();
    EXPECT_EQ(ended_.value(), begun_.value());
    // What the server says of calls that were given up is read by whoever calls.
    const auto has_read_all = [this] {
      EXPECT_TRUE(Echo::Stub(channel).Say(Element(1, 100)).ok());
      return absl::StrContains(channel->DebugString(), ": 0 calls in flight");
    };
    EXPECT_TRUE(Eventually(has_read_all)) << channel->DebugString();
  }

  // What the client has of each call.
  Counter noted;
  Counter answers;

  CoEchoService co_echo;
  CoStreamService streams;
  std::unique_ptr<Server> server;
  std::shared_ptr<Channel> channel;

 private:
  // Of handlers.
  Counter begun_;
  Counter ended_;
  std::atomic<bool> meets_ = false;
  std::barrier<> meeting_{2};

  base::Mutex mutex_;
  std::map<StatusCode, size_t> ends_ ABSL_GUARDED_BY(mutex_);
};

// ---- the answer ----

TEST_F(CoroutineRaceTest, ACancelMeetsTheAnswer) {
  MeetRivals();
  for (size_t round = 0; round < kRounds; ++round) {
    auto call = echo_stub().Say(Element(round, 100));
    std::thread rival = Rival(DelayIn(round), [&] { call.Cancel(); });
    SyncWait(Ask(call, round));
    rival.join();
  }
  ExpectEnds(kRounds, AnyOf(StatusCode::kOk, StatusCode::kCancelled));
}

TEST_F(CoroutineRaceTest, ARequestToStopMeetsTheAnswer) {
  MeetRivals();
  for (size_t round = 0; round < kRounds; ++round) {
    std::stop_source stop;
    std::thread rival = Rival(DelayIn(round), [&] { stop.request_stop(); });
    SyncWait(AskOnce(echo_stub(), {.stop_token = stop.get_token()}));
    rival.join();
  }
  ExpectEnds(kRounds, AnyOf(StatusCode::kOk, StatusCode::kCancelled));
}

TEST_F(CoroutineRaceTest, TheEndOfItsObjectMeetsTheAnswer) {
  MeetRivals();
  for (size_t round = 0; round < kRounds; ++round) {
    std::optional<UnaryCall<Blob>> call = echo_stub().Say(Element(round, 100));
    Rival(DelayIn(round), [&] { call.reset(); }).join();
  }
  ExpectNothingLeft();
}

TEST_F(CoroutineRaceTest, TheDeadlineMeetsTheAnswerAndACancel) {
  for (size_t round = 0; round < kRounds; ++round) {
    const CallOptions options = {.timeout = absl::Nanoseconds(1 + DelayIn(round))};
    auto call = echo_stub().Say(Element(round, 100), options);
    std::thread rival([&, delay = DelayIn(kRounds - round)] {
      SpinFor(delay);
      call.Cancel();
    });
    SyncWait(Ask(call, round));
    rival.join();
  }
  ExpectEnds(kRounds, AnyOf(StatusCode::kOk, StatusCode::kCancelled, StatusCode::kDeadlineExceeded));
}

TEST_F(CoroutineRaceTest, TheFirstAnswerStopsTheOtherCalls) {
  const auto ask = [](Echo::CoStub stub, size_t number, CallOptions options) -> Task<absl::Status> {
    co_return (co_await stub.Say(Element(number, 100), options)).status();
  };
  for (size_t round = 0; round < kRounds; ++round) {
    std::stop_source stop;
    const CallOptions options = {.stop_token = stop.get_token()};
    const auto [first, results] = SyncWait(
        WhenAny(stop, ask(echo_stub(), 1, options), ask(echo_stub(), 2, options), ask(echo_stub(), 3, options)));
    const auto& [a, b, c] = results;
    const std::vector<absl::Status> all = {a, b, c};
    EXPECT_TRUE(all[first].ok()) << all[first];
    for (const absl::Status& status : all) Note(status);
  }
  ExpectEnds(3 * kRounds, AnyOf(StatusCode::kOk, StatusCode::kCancelled));
}

// ---- who awaits ----

TEST_F(CoroutineRaceTest, ACancelMeetsWhoGoesOn) {
  for (size_t round = 0; round < kRounds; ++round) {
    std::stop_source stop;
    const CallOptions options = {.stop_token = stop.get_token()};
    Task<> talk = Talk(streams_stub().Chat(options));
    std::thread rival([&, at_first = answers.value()] {
      answers.WaitFor(at_first + 1);
      SpinFor(DelayIn(round));
      stop.request_stop();
    });
    SyncWait(std::move(talk));
    rival.join();
  }
  ExpectEnds(kRounds, StatusCode::kCancelled);
}

TEST_F(CoroutineRaceTest, ACancelFromInsideMeetsWhoReadsAndWhoWrites) {
  for (size_t round = 0; round < kRounds; ++round) {
    auto chat = streams_stub().Chat();
    const auto write = [&]() -> Task<> {
      for (size_t i = 0; i < round % 20; ++i) EXPECT_TRUE(co_await chat.Write(Element(i, 100)));
      chat.Cancel();
      EXPECT_FALSE(co_await chat.Write(Element(0, 100)));
    };
    const auto read = [&]() -> Task<> {
      size_t count = 0;
      for (Blob reply; co_await chat.Read(&reply); ++count) EXPECT_TRUE(IsElement(reply, count, 100));
      EXPECT_LE(count, round % 20);
      Note(co_await chat.Finish());
    };
    SyncWait(round % 2 == 0 ? WhenAll(read(), write()) : WhenAll(write(), read()));
  }
  ExpectEnds(kRounds, StatusCode::kCancelled);
}

TEST_F(CoroutineRaceTest, ACancelOnTheChannelsThreadMeetsAllItsCalls) {
  constexpr size_t kChats = 16;
  for (size_t round = 0; round < kRounds / 10; ++round) {
    std::stop_source stop;
    const CallOptions options = {.stop_token = stop.get_token()};
    std::vector<Task<>> tasks;
    for (size_t i = 0; i < kChats; ++i) tasks.push_back(Talk(streams_stub().Chat(options)));
    const auto end_all = [&]() -> Task<> {
      for (size_t i = 0; i <= round; ++i) co_await AskOnce(echo_stub());
      stop.request_stop();
    };
    tasks.push_back(end_all());
    const size_t before = noted.value();
    SyncWait(WhenAll(std::move(tasks)));
    EXPECT_EQ(noted.value(), before + kChats + round + 1);
  }
  ExpectEnds(noted.value(), AnyOf(StatusCode::kOk, StatusCode::kCancelled));
}

// A coroutine is destroyed on the thread that would go on with it; which is all right at any moment.
TEST_F(CoroutineRaceTest, TheEndOfWhoAwaitsMeetsTheNews) {
  ByHand by_hand;
  channel = Connect({.executor = by_hand.executor()});
  struct Ended : internal::Continuation {
    Ended() : Continuation([](Continuation& self) { static_cast<Ended&>(self).has = true; }) {}
    bool has = false;
  };
  size_t asked = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    Ended ended;
    std::optional<Task<>> task = round % 2 == 0 ? AskOnce(echo_stub()) : Talk(streams_stub().Chat());
    task->promise().StartNow(ended);
    SpinFor(DelayIn(round));
    if (round % 4 < 2) by_hand.Run();
    const bool had_ended = ended.has;
    if (had_ended) ++asked;
    task.reset();
    by_hand.Run();
    EXPECT_EQ(ended.has, had_ended);
  }
  ExpectEnds(asked, StatusCode::kOk);
  by_hand.Run();
}

// A handler goes on, and ends, on a thread of the test's: while it suspends, or a little later.
TEST_F(CoroutineRaceTest, TheEndOfAHandlerMeetsItsSuspension) {
  constexpr size_t kCalls = kRounds * 10;
  std::atomic<void*> suspended = nullptr;
  struct Suspends {
    std::atomic<void*>& coroutine;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handler) const { coroutine = handler.address(); }
    void await_resume() const {}
  };
  CoEchoService other_echo;
  other_echo.say = [&](ServerContext&, const Blob& request, Blob& reply) -> Task<absl::Status> {
    co_await Suspends{suspended};
    reply = request;
    co_return absl::OkStatus();
  };
  const auto other = Must(ServerBuilder().Listen(Address("other")).Register(&other_echo).Start());
  std::thread resumes([&] {
    for (size_t i = 0; i < kCalls; ++i) {
      void* handler = nullptr;
      while ((handler = suspended.exchange(nullptr)) == nullptr) std::this_thread::yield();
      for (std::atomic<size_t> spins = i % 100; spins != 0; --spins) continue;
      internal::Resume(std::coroutine_handle<>::from_address(handler));
    }
  });
  const Echo::CoStub stub(Connect({}, Address("other")));
  SyncWait([&]() -> Task<> {
    for (size_t i = 0; i < kCalls; ++i) co_await AskOnce(stub);
  }());
  resumes.join();
  EXPECT_TRUE(Eventually([&] { return CallsActive(*other) == 0; })) << other->DebugString();
  ExpectEnds(kCalls, StatusCode::kOk);
}

// ---- the channel ----

TEST_F(CoroutineRaceTest, TheLastOfManyCoroutinesDropsTheirChannel) {
  constexpr size_t kCoroutines = 8;
  constexpr size_t kChannels = kRounds / 20;
  const auto ask_some = [this](std::shared_ptr<Channel> theirs) -> Task<> {
    co_await AskOnce(Echo::CoStub(theirs));
    auto call = Echo::CoStub(std::move(theirs)).Say(Element(2, 100));
    co_await Ask(call, 2);
  };
  for (size_t i = 0; i < kChannels; ++i) {
    const std::shared_ptr<Channel> theirs = Connect();
    for (size_t k = 0; k < kCoroutines; ++k) Start(ask_some(theirs));
  }
  noted.WaitFor(kChannels * kCoroutines * 2);
  ExpectEnds(kChannels * kCoroutines * 2, StatusCode::kOk);
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 1; })) << server->DebugString();
}

TEST_F(CoroutineRaceTest, TheEndOfItsChannelMeetsTheAnswer) {
  MeetRivals();
  for (size_t round = 0; round < kRounds; round += 20) {
    std::optional<UnaryCall<Blob>> call = Echo::CoStub(Connect()).Say(Element(round, 100));
    Rival(DelayIn(round), [&] { call.reset(); }).join();
  }
  ExpectNothingLeft();
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 1; })) << server->DebugString();
}

// ---- the server ----

TEST_F(CoroutineRaceTest, TheEndOfItsServerMeetsEachCoroutine) {
  constexpr size_t kOfEachKind = 16;
  const auto ask_on = [this](Echo::CoStub stub) -> Task<> {
    absl::StatusOr<Blob> reply;
    do {
      reply = co_await stub.Say(Element(1, 100));
      answers.Add();
    } while (reply.ok());
    Note(reply.status());
  };
  for (size_t round = 0; round < kRounds / 50; ++round) {
    std::unique_ptr<Server> other = StartServer("other");
    const std::shared_ptr<Channel> theirs = Connect({}, Address("other"));
    const size_t before = noted.value();
    for (size_t i = 0; i < kOfEachKind; ++i) {
      Start(ask_on(Echo::CoStub(theirs)));
      Start(Talk(Streams::CoStub(theirs).Chat()));
    }
    answers.WaitFor(answers.value() + kOfEachKind);
    other.reset();
    noted.WaitFor(before + 2 * kOfEachKind);
  }
  ExpectEnds(kRounds / 50 * 2 * kOfEachKind, StatusCode::kUnavailable);
}

TEST_F(CoroutineRaceTest, ACoroutineDestroysAServerThatDoesNotServeIt) {
  constexpr size_t kChats = 16;
  const auto end = [&](std::unique_ptr<Server> other, Echo::CoStub stub) -> Task<> {
    co_await AskOnce(stub);
    other.reset();  // on a thread of the channel's
  };
  size_t chats = 0;
  // Who calls it is another server's client, or its own.
  for (const char* const called : {"echo", "other", "echo", "other"}) {
    std::unique_ptr<Server> other = StartServer("other");
    const std::shared_ptr<Channel> theirs = Connect({}, Address("other"));
    const size_t before = answers.value();
    for (size_t i = 0; i < kChats; ++i) Start(Talk(Streams::CoStub(theirs).Chat()));
    answers.WaitFor(before + kChats);
    SyncWait(end(std::move(other), Echo::CoStub(Connect({}, Address(called)))));
    chats += kChats;
    noted.WaitFor(chats + chats / kChats);
  }
  ExpectEnds(chats + 4, AnyOf(StatusCode::kOk, StatusCode::kUnavailable));
}

TEST_F(CoroutineRaceTest, AHandlerDestroysAnotherServer) {
  constexpr size_t kChats = 16;
  CoEchoService ending;
  std::unique_ptr<Server> other;
  ending.say = [&](ServerContext&, const Blob& request, Blob& reply) -> Task<absl::Status> {
    // A client of the other server's that goes on, and ends it, on a thread of its channel's; or on one of this server.
    if (request.data() == "await") co_await AskOnce(Echo::CoStub(Connect({}, Address("other"))));
    other.reset();
    reply = request;
    co_return absl::OkStatus();
  };
  const auto front = Must(ServerBuilder().Listen(Address("front")).Register(&ending).Start());
  const Echo::Stub stub = ConnectStub({}, Address("front"));
  size_t ends = 0;
  for (const char* const how : {"await", "at once", "await", "at once"}) {
    other = StartServer("other");
    const std::shared_ptr<Channel> theirs = Connect({}, Address("other"));
    const size_t before = answers.value();
    for (size_t i = 0; i < kChats; ++i) Start(Talk(Streams::CoStub(theirs).Chat()));
    answers.WaitFor(before + kChats);
    EXPECT_TRUE(stub.Say(MakeBlob(how)).ok());
    ends += kChats + (how == absl::string_view("await") ? 1 : 0);
    noted.WaitFor(ends);
  }
  ExpectEnds(ends, AnyOf(StatusCode::kOk, StatusCode::kUnavailable));
}

}  // namespace
}  // namespace nearcall::integration
