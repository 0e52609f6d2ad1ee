// SPDX-License-Identifier: Apache-2.0

// Handlers that answer later: AsyncService.
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fixture.h"

namespace nearcall::integration {
namespace {

using ::testing::HasSubstr;

// A call that waits for its answer.
struct Deferred {
  ServerContext* context;
  const Blob* request;
  Blob* reply;
  Done done;
};

class AsyncEcho final : public Echo::AsyncService {
 public:
  std::function<void(Deferred)> say;

  void Say(ServerContext& context, const Blob& request, Blob& reply, Done done) override {
    say({&context, &request, &reply, std::move(done)});
  }
  void MayBlock(ServerContext& context, const Blob& request, Blob& reply, Done done) override {
    say({&context, &request, &reply, std::move(done)});
  }
};

void AnswerWithRequest(Deferred call) {
  *call.reply = *call.request;
  std::move(call.done)(absl::OkStatus());
}

class AsyncServiceTest : public IntegrationTest {
 protected:
  void Start() {
    server = *ServerBuilder({.log_sink = log.sink()}).Listen(Address()).Register(&service).Start();
    channel = Connect();
  }
  Echo::Stub stub() const { return Echo::Stub(channel); }

  // Handlers put their calls here.
  void Keep() {
    service.say = [this](Deferred call) {
      const std::lock_guard lock(mutex);
      kept.push_back(std::move(call));
      began.Add();
    };
  }
  Deferred Take() {
    const std::lock_guard lock(mutex);
    Deferred call = std::move(kept.front());
    kept.pop_front();
    return call;
  }

  AsyncEcho service;
  Counter began;
  std::mutex mutex;
  std::deque<Deferred> kept;
  std::unique_ptr<Server> server;
  std::shared_ptr<Channel> channel;
};

TEST_F(AsyncServiceTest, MayAnswerAtOnce) {
  service.say = AnswerWithRequest;
  Start();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Must(stub().Say(MakeBlob(std::to_string(i)))).data(), std::to_string(i));
  EXPECT_EQ(Must(stub().MayBlock(MakeBlob("worker"))).data(), "worker");
}

TEST_F(AsyncServiceTest, HoldsNoThreadWhileItHasNotAnswered) {
  Keep();
  Start();
  constexpr size_t kCalls = 300;  // more than ServerOptions::max_handler_threads
  Counter ended;
  const Echo::AsyncStub async(channel);
  for (size_t i = 0; i < kCalls; ++i) {
    async.Say(MakeBlob(std::to_string(i)), [&ended, i](absl::StatusOr<Blob> reply) {
      EXPECT_EQ(Must(std::move(reply)).data(), std::to_string(i));
      ended.Add();
    });
  }
  began.WaitFor(kCalls);
  EXPECT_EQ(CallsActive(*server), kCalls);
  EXPECT_EQ(ended.value(), 0u);
  while (!kept.empty()) AnswerWithRequest(Take());
  ended.WaitFor(kCalls);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(AsyncServiceTest, AnyThreadMayAnswerWhileTheHandlerStillRuns) {
  std::vector<std::thread> threads;
  service.say = [&](Deferred call) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([call = std::move(call)]() mutable { AnswerWithRequest(std::move(call)); });
    if (threads.size() % 2 == 0) std::this_thread::yield();
  };
  Start();
  for (int i = 0; i < 300; ++i) EXPECT_EQ(Must(stub().Say(MakeBlob(std::to_string(i)))).data(), std::to_string(i));
  const std::lock_guard lock(mutex);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(AsyncServiceTest, LargeRepliesOfOtherThreadsArrive) {
  Keep();
  Start();
  std::thread answering([&] {
    for (size_t i = 1; i <= 10; ++i) {
      began.WaitFor(i);
      AnswerWithRequest(Take());
    }
  });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Must(stub().Say(MakeBlob(std::string(2'000'000, 'r')), {.timeout = kLong})).data().size(), 2'000'000u);
  }
  answering.join();
}

TEST_F(AsyncServiceTest, DroppingDoneAnswersInternal) {
  service.say = [](Deferred) {};
  Start();
  const absl::Status status = stub().Say(MakeBlob("")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nearcall.integration.Echo/Say"));
}

TEST_F(AsyncServiceTest, AnExceptionAnswersUnknownWithoutItsText) {
  service.say = [](const Deferred&) { throw std::runtime_error("secret"); };
  Start();
  const absl::Status status = stub().Say(MakeBlob("")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_FALSE(absl::StrContains(status.message(), "secret"));
}

TEST_F(AsyncServiceTest, ACancelReachesACallThatWaits) {
  Keep();
  Start();
  std::stop_source stop;
  std::thread caller([&] {
    EXPECT_EQ(stub().Say(MakeBlob(""), {.stop_token = stop.get_token()}).status().code(), absl::StatusCode::kCancelled);
  });
  began.WaitFor(1);
  stop.request_stop();
  Deferred call = Take();
  EXPECT_TRUE(Eventually([&] { return call.context->IsCancelled(); }));
  AnswerWithRequest(std::move(call));
  caller.join();
}

TEST_F(AsyncServiceTest, MayAnswerWhenTheClientIsGone) {
  Keep();
  Start();
  Counter ended;
  Echo::AsyncStub(channel).Say(MakeBlob(""), [&](absl::StatusOr<Blob>) { ended.Add(); });
  began.WaitFor(1);
  channel.reset();
  ended.WaitFor(1);
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  AnswerWithRequest(Take());
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

TEST_F(AsyncServiceTest, ShutdownWaitsForTheAnswer) {
  Keep();
  for (int i = 1; i <= 50; ++i) {
    Start();
    std::thread caller([&] { EXPECT_TRUE(stub().Say(MakeBlob(""), {.timeout = kLong}).ok()); });
    began.WaitFor(static_cast<size_t>(i));
    std::thread answering([&] {
      EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "going away"); }));
      AnswerWithRequest(Take());
    });
    server->Shutdown(kLong);
    server->Wait();
    // The thread that has answered may still be in the runtime.
    server.reset();
    answering.join();
    caller.join();
  }
}

TEST_F(AsyncServiceTest, WhoWillAnswerMayShutTheServerDownBefore) {
  Keep();
  Start();
  std::thread caller([&] { EXPECT_TRUE(stub().Say(MakeBlob(""), {.timeout = kLong}).ok()); });
  began.WaitFor(1);
  server->Shutdown(kLong);
  AnswerWithRequest(Take());
  server->Wait();
  caller.join();
}

TEST_F(AsyncServiceTest, WhatIsNotOverriddenIsUnimplemented) {
  Start();
  EXPECT_EQ(stub().Low(MakeBlob("")).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace nearcall::integration
