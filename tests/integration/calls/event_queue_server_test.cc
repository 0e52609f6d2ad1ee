// SPDX-License-Identifier: Apache-2.0

// A server without threads: what it does is done in the turns of its event queue.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "child.h"
#include "co_service.h"
#include "driven_server.h"
#include "raw_peer.h"
#include "stream_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// Hands each answer to a thread of the test's own.
class DeferringService final : public Echo::AsyncService {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  void Say(ServerContext&, const Blob& request, Blob& reply, Done done) override {
    reply = request;
    base::MutexLock lock(mutex_);
    kept_.push_back({&reply, std::move(done)});
    began.Add();
  }

  // Whoever calls this answers what is kept.
  void AnswerAll() {
    std::vector<Kept> kept;
    {
      base::MutexLock lock(mutex_);
      kept.swap(kept_);
    }
    for (Kept& call : kept) {
      if (size != 0) call.reply->set_data(std::string(size, 'x'));
      std::move(call.done)(absl::OkStatus());
    }
  }

  Counter began;
  size_t size = 0;  // of each reply; 0: that of its request

 private:
  struct Kept {
    Blob* reply;
    Done done;
  };

  base::Mutex mutex_;
  std::vector<Kept> kept_ ABSL_GUARDED_BY(mutex_);
};

class EventQueueServerTest : public IntegrationTest {
 protected:
  std::unique_ptr<Server> Serve(std::vector<Service*> services, ServerOptions options = {},
                                absl::string_view address = Address()) {
    options.event_queue = &queue;
    if (!options.log_sink) options.log_sink = log.sink();
    options.expected_clients = 48;
    ServerBuilder builder(std::move(options));
    builder.Listen(address);
    for (Service* service : services) builder.Register(service);
    return Must(builder.Start());
  }

  EventQueue queue;
  CoEchoService co_echo;
  CoStreamService streams;
};

// No deadline would wake the server: each call has its answer because its request made the queue readable.
TEST_F(EventQueueServerTest, BlockingHandlersRunInRun) {
  std::set<std::thread::id> ran_on;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ran_on.insert(std::this_thread::get_id());
    return EchoBack(context, request, reply);
  };
  const auto server = Serve({&echo});
  QueueThread thread(queue);
  const Echo::Stub stub = ConnectStub();
  for (const size_t size : {size_t{0}, size_t{100}, size_t{10'000}, size_t{3'000'000}}) {
    const std::string data(size, 'x');
    const absl::StatusOr<Blob> reply = stub.Say(MakeBlob(data));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(reply->data() == data);
  }
  EXPECT_TRUE(stub.MayBlock(MakeBlob("")).ok());
  thread.Stop();
  EXPECT_EQ(ran_on, std::set<std::thread::id>{thread.id()});
}

TEST_F(EventQueueServerTest, CoroutinesAreServedByAllKindsOfCalls) {
  const auto server = Serve({&co_echo, &streams});
  const QueueThread thread(queue);
  const auto channel = Connect();
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  const Streams::Stub stub(channel);

  auto chat = stub.Chat();
  for (size_t i = 0; i < 100; ++i) {
    Blob reply;
    ASSERT_TRUE(chat->Write(Element(i, 3'000)) && chat->Read(&reply) && IsElement(reply, i, 3'000)) << i;
  }
  EXPECT_TRUE(chat->WritesDone());
  EXPECT_TRUE(chat->Finish().ok());

  // Many times the window: the handler is suspended, and goes on when there is room.
  Blob request;
  request.set_data("1000");
  auto up = stub.Up();
  for (size_t i = 0; i < 1000; ++i) ASSERT_TRUE(up->Write(Element(i, 1'000)));
  EXPECT_TRUE(up->WritesDone());
  EXPECT_TRUE(up->Finish().ok());
}

TEST_F(EventQueueServerTest, AnswersOfOtherThreadsGoThoughTheyDoNotFit) {
  DeferringService service;
  const auto server = Serve({&service});
  const QueueThread thread(queue);
  const Echo::Stub stub = ConnectStub();
  std::vector<Pending> calls;
  // More than any transport takes at once: the rest goes when the queue is run.
  constexpr size_t kCalls = 8;
  for (size_t i = 0; i < kCalls; ++i) calls.push_back(SayAsync(stub, std::string(1'000'000, 'x')));
  service.began.WaitFor(kCalls);
  service.AnswerAll();
  for (Pending& call : calls) EXPECT_TRUE(call.get().ok());
}

// All of a program's threads, by name.
std::vector<std::string> ThreadNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    names.push_back(std::move(name));
  }
  return names;
}

// The whole life of a program that has one thread in all: it serves calls and streams, and ends when it is told to.
TEST_F(EventQueueServerTest, ItsProgramHasOneThread) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "NOT TESTED: the sanitizer has a thread of its own";
  Child child([this](Link& parent) {
    co_echo.say = [](ServerContext&, const Blob&, Blob& reply) -> Task<absl::Status> {
      reply.set_data(absl::StrJoin(ThreadNames(), " "));
      co_return absl::OkStatus();
    };
    EventQueue own;
    const ServerOptions options = {.expected_clients = 48, .handle_signals = true, .event_queue = &own};
    const auto server = Must(ServerBuilder(options).Listen(Address()).Register(&co_echo).Register(&streams).Start());
    parent.Tell();
    server->Wait();  // which runs the queue
  });
  child.link().Await();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  std::vector<std::unique_ptr<ClientReaderWriter<Blob, Blob>>> chats;
  for (size_t i = 0; i < 20; ++i) {
    chats.push_back(Streams::Stub(channel).Chat());
    Blob reply;
    ASSERT_TRUE(chats.back()->Write(Element(i, 10)) && chats.back()->Read(&reply));
  }
  const absl::StatusOr<Blob> names = stub.Say(MakeBlob(""));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_THAT(names->data(), ::testing::Not(::testing::HasSubstr(" "))) << "more than one thread";
  ::kill(child.pid(), SIGTERM);
  for (const auto& chat : chats) EXPECT_TRUE(chat->WritesDone() && chat->Finish().ok());
  chats.clear();
  EXPECT_EQ(child.Join(), 0);
}

TEST_F(EventQueueServerTest, SeveralServersShareAQueue) {
  EchoService other;
  const auto first = Serve({&echo});
  const auto second = Serve({&other}, {}, Address("other"));
  const QueueThread thread(queue);
  const Echo::Stub one = ConnectStub();
  const Echo::Stub two = ConnectStub({}, Address("other"));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(one.Say(MakeBlob("")).ok() && two.Say(MakeBlob("")).ok());
}

TEST_F(EventQueueServerTest, WhereThereIsNothingToDoTheDescriptorIsNotReadable) {
  const auto server = Serve({&echo, &streams});
  {
    const QueueThread thread(queue);
    const auto channel = Connect();
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("")).ok());
    auto chat = Streams::Stub(channel).Chat();
    Blob reply;
    EXPECT_TRUE(chat->Write(Element(1, 10)) && chat->Read(&reply));
    EXPECT_TRUE(Eventually([this] { return !HasSomethingToRun(queue); }));
  }
  EXPECT_TRUE(RunUntilIdle(queue));
}

TEST_F(EventQueueServerTest, RunRunsAsManyHandlersAsItMay) {
  constexpr size_t kCalls = 5;
  size_t ran = 0;
  size_t ran_now = 0;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ++ran;
    ++ran_now;
    EXPECT_EQ(queue.Run(1), 0u) << "re-entered";
    return EchoBack(context, request, reply);
  };
  const auto server = Serve({&echo});
  Echo::Stub stub = [&] {
    const QueueThread thread(queue);
    return ConnectStub();
  }();
  std::vector<Pending> calls;
  for (size_t i = 0; i < kCalls; ++i) calls.push_back(SayAsync(stub, "x"));
  while (ran < kCalls) {
    pollfd ready = {.fd = queue.fd(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, -1);
    ran_now = 0;
    EXPECT_EQ(queue.Run(1), ran_now);
    EXPECT_LE(ran_now, 1u);
  }
  for (Pending& call : calls) EXPECT_TRUE(call.get().ok());
}

// A client that rings only if it was asked to, which the watchdog of a waiting caller would do anyway.
class RingingTest : public EventQueueServerTest {
 protected:
  explicit RingingTest(Service* service = nullptr) : server_(Serve({service == nullptr ? &echo : service})) {
    const QueueThread thread(queue);
    client_.emplace(Address());
  }

  void Request(uint32_t number) {
    wire::FrameHeader request = client_->Header(wire::FrameKind::kRequest, 0);
    request.call_id = request.sequence = number;
    client_->SendInSilence(request);
  }

  std::unique_ptr<Server> server_;
  std::optional<RawClient> client_;
};

TEST_F(RingingTest, EachConnectionIsAskedToRingBeforeRunReturns) {
  for (uint32_t number = 1; number <= 5; ++number) {
    ASSERT_TRUE(RunUntilIdle(queue));
    Request(number);
    ASSERT_TRUE(HasSomethingToRun(queue)) << number;
    ASSERT_TRUE(RunUntilIdle(queue));
    EXPECT_EQ(client_->Receive().call_id, number);
  }
}

TEST_F(RingingTest, WhatRunLeavesKeepsTheDescriptorReadable) {
  constexpr uint32_t kRequests = 5;
  ASSERT_TRUE(RunUntilIdle(queue));
  for (uint32_t number = 1; number <= kRequests; ++number) Request(number);
  size_t ran = 0;
  for (int i = 0; i < 1000 && ran < kRequests; ++i) {
    ASSERT_TRUE(HasSomethingToRun(queue)) << "after " << ran;
    const size_t now = queue.Run(1);
    ASSERT_LE(now, 1u);
    ran += now;
  }
  EXPECT_EQ(ran, kRequests);
  EXPECT_TRUE(RunUntilIdle(queue));
}

// Answers calls outside of Run(), as another thread would.
struct HasDeferringService {
  DeferringService service;
};
class RingingDeferredTest : protected HasDeferringService, public RingingTest {
 protected:
  RingingDeferredTest() : RingingTest(&service) {
    Request(1);
    EXPECT_TRUE(RunUntilIdle(queue));
    EXPECT_EQ(service.began.value(), 1u);
  }
};

TEST_F(RingingDeferredTest, AnAnswerThatDoesNotFitMakesTheDescriptorReadable) {
  service.size = 900'000;
  service.AnswerAll();
  EXPECT_TRUE(HasSomethingToRun(queue));
}

TEST_F(RingingDeferredTest, SoDoesTheEndOfTheLastCall) {
  server_->Shutdown();
  ASSERT_TRUE(RunUntilIdle(queue));
  service.AnswerAll();
  EXPECT_TRUE(HasSomethingToRun(queue)) << "Wait() would not hear of it";
}

TEST_F(EventQueueServerTest, ADeadlineWakesTheQueue) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  Event saw_deadline;
  streams.chat = [&](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
    Blob element;
    while (co_await stream.Read(&element)) {
    }
    if (context.IsCancelled()) saw_deadline.Set();
    co_return absl::OkStatus();
  };
  const auto server = Serve({&streams});
  const QueueThread thread(queue);
  // Whose client can say nothing: the server's own clock ends it.
  Child client([](Link& parent) {
    const auto channel = Must(Channel::Connect(Address()));
    auto chat = Streams::Stub(channel).Chat({.timeout = absl::Milliseconds(200)});
    chat->Write(Element(1, 10));
    ::raise(SIGSTOP);
    parent.Await();
  });
  saw_deadline.Wait();
  client.Kill();
}

TEST_F(EventQueueServerTest, ACancelResumesTheHandlerAndRunsStopCallbacksInRun) {
  std::thread::id told_on;
  std::stop_token stop;
  Event began, ended, told;
  streams.chat = [&](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
    stop = context.stop_token();
    Blob element;
    while (co_await stream.Read(&element)) began.Set();
    EXPECT_TRUE(context.IsCancelled());
    ended.Set();
    co_return absl::OkStatus();
  };
  const auto server = Serve({&streams});
  QueueThread thread(queue);
  auto chat = Streams::Stub(Connect()).Chat();
  EXPECT_TRUE(chat->Write(Element(1, 10)));
  began.Wait();
  const std::stop_callback tell(stop, [&] {
    told_on = std::this_thread::get_id();
    told.Set();
  });
  chat->Cancel();
  ended.Wait();
  told.Wait();
  EXPECT_EQ(chat->Finish().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  thread.Stop();
  EXPECT_EQ(told_on, thread.id());
}

TEST_F(EventQueueServerTest, TheDeathOfAClientWakesTheQueue) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  const auto server = Serve({&echo});
  const QueueThread thread(queue);
  Child client([](Link& parent) {
    const Echo::Stub stub(Must(Channel::Connect(Address())));
    Must(stub.Say(MakeBlob("")).status());
    parent.Tell();
    parent.Await();
  });
  client.link().Await();
  EXPECT_EQ(ConnectionCount(*server), 1u);
  client.Kill();
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
}

TEST_F(EventQueueServerTest, ClientsThatSayNothingAreHungUpOnInTime) {
  NEEDS_SOCKETS();
  const auto server = Serve({&echo}, {.handshake_timeout = absl::Milliseconds(50)});
  const QueueThread thread(queue);
  const base::Fd silent = ConnectRaw(directory() + "/echo");
  EXPECT_TRUE(HangsUp(silent.get()));
}

TEST_F(EventQueueServerTest, LinesOfTheLogComeInRun) {
  NEEDS_SOCKETS();
  std::thread::id logged_on;
  Event logged;
  const auto server =
      Serve({&echo}, {.handshake_timeout = absl::Milliseconds(50), .log_sink = [&](LogSeverity, absl::string_view) {
                        logged_on = std::this_thread::get_id();
                        logged.Set();
                      }});
  const QueueThread thread(queue);
  const base::Fd client = ConnectRaw(directory() + "/echo");
  Send(client.get(), std::vector<std::byte>(100, std::byte{1}));
  logged.Wait();
  EXPECT_EQ(logged_on, thread.id());
}

TEST_F(EventQueueServerTest, BlockingHandlersOfStreamsAreRefused) {
  StreamService blocking;
  const absl::Status refused =
      ServerBuilder({.event_queue = &queue}).Listen(Address()).Register(&blocking).Start().status();
  EXPECT_THAT(refused, FailsWith(StatusCode::kInvalidArgument, "Streams/"));
  EXPECT_THAT(refused, FailsWith(StatusCode::kInvalidArgument, "CoService"));
}

}  // namespace
}  // namespace nearcall::integration
