// SPDX-License-Identifier: Apache-2.0

// Calls by callback: AsyncStub.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fixture.h"
#include "measured.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using ::testing::HasSubstr;

// Waits for one reply.
class Result {
 public:
  Callback<Blob> callback() {
    return [this](absl::StatusOr<Blob> reply) {
      thread_ = std::this_thread::get_id();
      reply_ = std::move(reply);
      there_.Set();
    };
  }
  absl::StatusOr<Blob>& Wait() {
    there_.Wait();
    return reply_;
  }
  absl::StatusCode WaitForCode() { return Wait().status().code(); }
  bool is_there() const { return there_.is_set(); }
  std::thread::id thread() const { return thread_; }

 private:
  Event there_;
  absl::StatusOr<Blob> reply_;
  std::thread::id thread_;
};

class AsyncTest : public IntegrationTest {
 protected:
  void Start(ChannelOptions options = {}) {
    server = StartServer();
    channel = Connect(std::move(options));
  }
  Echo::AsyncStub stub() const { return Echo::AsyncStub(channel); }

  // Handlers of Say wait for `may_end`.
  void BlockHandlers() {
    echo.say = [this](ServerContext&, const Blob& request, Blob& reply) {
      began.Add();
      may_end.Wait();
      reply = request;
      return absl::OkStatus();
    };
  }

  Counter began;
  Event may_end;
  std::unique_ptr<Server> server;
  std::shared_ptr<Channel> channel;
};

TEST_F(AsyncTest, TheCallbackGetsTheReplyOnAnotherThread) {
  Start();
  Result result;
  stub().Say(MakeBlob("hello"), result.callback());
  EXPECT_EQ(Must(result.Wait()).data(), "hello");
  EXPECT_NE(result.thread(), std::this_thread::get_id());
}

TEST_F(AsyncTest, TheRequestMayGoAtOnce) {
  Start();
  std::array<Result, 20> results;
  for (size_t i = 0; i < results.size(); ++i) {
    auto request = std::make_unique<Blob>(MakeBlob(std::string(i * 10'000, static_cast<char>('a' + i))));
    stub().Say(*request, results[i].callback());
  }
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(Must(results[i].Wait()).data(), std::string(i * 10'000, static_cast<char>('a' + i)));
  }
}

TEST_F(AsyncTest, AnErrorOfTheHandlerArrives) {
  echo.say = [](ServerContext&, const Blob&, Blob&) { return absl::NotFoundError("not here"); };
  Start();
  Result result;
  stub().Say(MakeBlob(""), result.callback());
  EXPECT_EQ(result.WaitForCode(), absl::StatusCode::kNotFound);
  EXPECT_EQ(result.Wait().status().message(), "not here");
}

TEST_F(AsyncTest, WhatIsWrongBeforeTheCallIsSentArrivesTheSameWay) {
  Start({.max_message_size = 100});
  Result too_large, expired, metadata;
  stub().Say(MakeBlob(std::string(200, 'x')), too_large.callback());
  stub().Say(MakeBlob(""), expired.callback(), {.timeout = absl::ZeroDuration()});
  stub().Say(MakeBlob(""), metadata.callback(), {.metadata = {{"Upper", ""}}});
  EXPECT_EQ(too_large.WaitForCode(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(expired.WaitForCode(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(metadata.WaitForCode(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(too_large.thread(), std::this_thread::get_id());
}

TEST_F(AsyncTest, ResponseMetadataIsThereWhenTheCallbackRuns) {
  echo.say = [](ServerContext& context, const Blob&, Blob&) {
    context.trailing_metadata().Add("k", "v");
    return absl::OkStatus();
  };
  Start();
  ResponseMetadata metadata;
  Result result;
  stub().Say(MakeBlob(""), result.callback(), {.response_metadata = &metadata});
  EXPECT_TRUE(result.Wait().ok());
  EXPECT_EQ(metadata.trailing.Get("k"), "v");
}

// --- how a call ends without a reply ---

TEST_F(AsyncTest, ADeadlineEndsOneCallOfMany) {
  BlockHandlers();
  Start();
  Result late, early;
  stub().Say(MakeBlob("late"), late.callback(), {.timeout = kLong});
  stub().Say(MakeBlob("early"), early.callback(), {.timeout = absl::Milliseconds(5)});
  EXPECT_EQ(early.WaitForCode(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(late.is_there());
  may_end.Set();
  EXPECT_EQ(Must(late.Wait()).data(), "late");
}

TEST_F(AsyncTest, AStopRequestEndsTheCall) {
  BlockHandlers();
  Start();
  std::stop_source stop;
  Result result;
  stub().Say(MakeBlob(""), result.callback(), {.stop_token = stop.get_token()});
  began.WaitFor(1);
  stop.request_stop();
  EXPECT_EQ(result.WaitForCode(), absl::StatusCode::kCancelled);
  may_end.Set();
}

TEST_F(AsyncTest, AStopRequestAtAnyTimeEndsTheCallOnce) {
  Start();
  Counter ended;
  const size_t count = TortureCount("NEARCALL_CALLBACKS", 500);
  for (size_t i = 0; i < count; ++i) {
    std::stop_source stop;
    std::thread stopper([&] { stop.request_stop(); });
    stub().Say(MakeBlob(""),
               [&](absl::StatusOr<Blob> reply) {
                 EXPECT_TRUE(reply.ok() || absl::IsCancelled(reply.status())) << reply.status();
                 ended.Add();
               },
               {.stop_token = stop.get_token()});
    stopper.join();
  }
  ended.WaitFor(count);
}

TEST_F(AsyncTest, TheDeathOfTheServerEndsAllCalls) {
  BlockHandlers();
  Start();
  std::array<Result, 10> results;
  for (Result& result : results) stub().Say(MakeBlob(""), result.callback());
  began.WaitFor(1);
  server->Shutdown(absl::ZeroDuration());
  for (Result& result : results) EXPECT_EQ(result.WaitForCode(), absl::StatusCode::kUnavailable);
  may_end.Set();
  server->Wait();
}

TEST_F(AsyncTest, TheEndOfTheChannelEndsItsCalls) {
  BlockHandlers();
  Start({.max_calls_in_flight = 2});
  std::array<Result, 6> results;
  for (Result& result : results) stub().Say(MakeBlob(""), result.callback());
  began.WaitFor(1);
  channel.reset();
  for (Result& result : results) {
    EXPECT_TRUE(result.is_there());
    EXPECT_EQ(result.WaitForCode(), absl::StatusCode::kCancelled);
  }
  may_end.Set();
}

// --- connections ---

TEST_F(AsyncTest, AChannelConnectsAgainForIt) {
  Start();
  Result first;
  stub().Say(MakeBlob("1"), first.callback());
  EXPECT_TRUE(first.Wait().ok());
  server.reset();
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "dead"); }));
  Result nobody;
  stub().Say(MakeBlob("2"), nobody.callback());
  EXPECT_EQ(nobody.WaitForCode(), absl::StatusCode::kUnavailable);
  Result patient, hasty;
  stub().Say(MakeBlob("3"), patient.callback(), {.timeout = kLong, .wait_for_ready = true});
  stub().Say(MakeBlob("4"), hasty.callback(), {.timeout = absl::Milliseconds(5), .wait_for_ready = true});
  EXPECT_EQ(hasty.WaitForCode(), absl::StatusCode::kDeadlineExceeded);
  server = StartServer();
  EXPECT_EQ(Must(patient.Wait()).data(), "3");
}

TEST_F(AsyncTest, WhatAClosingServerRefusedGoesToItsSuccessor) {
  BlockHandlers();
  Start();
  Result before, after;
  stub().Say(MakeBlob("before"), before.callback());
  began.WaitFor(1);
  server->Shutdown(kLong);
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(channel->DebugString(), "going away"); }))
      << channel->DebugString() << "\n"
      << server->DebugString();
  EchoService successor;
  const auto second = *ServerBuilder().Listen(Address()).Register(&successor).Start();
  stub().Say(MakeBlob("after"), after.callback());
  EXPECT_EQ(Must(after.Wait()).data(), "after");
  EXPECT_FALSE(before.is_there()) << before.Wait().status();
  may_end.Set();
  server->Wait();
  EXPECT_EQ(Must(before.Wait()).data(), "before");
}

// --- many ---

TEST_F(AsyncTest, ThousandInFlightStartedFromCallbacks) {
  Start();
  constexpr size_t kChains = 1000;
  const size_t links = TortureCount("NEARCALL_CALLBACKS", 10'000) / kChains;
  Counter ended;
  const Echo::AsyncStub async = stub();
  std::function<void(size_t, size_t)> call = [&](size_t chain, size_t link) {
    async.Say(MakeBlob(std::to_string(chain)), [&, chain, link](absl::StatusOr<Blob> reply) {
      EXPECT_EQ(Must(std::move(reply)).data(), std::to_string(chain));
      if (link >= links) {
        ended.Add();
      } else {
        call(chain, link + 1);
      }
    });
  };
  for (size_t chain = 0; chain < kChains; ++chain) call(chain, 1);
  ended.WaitFor(kChains);
}

TEST_F(AsyncTest, MoreThanMayBeInFlightWaitForTheirTurn) {
  Start({.max_calls_in_flight = 3});
  Counter ended;
  for (int i = 0; i < 200; ++i) {
    stub().Say(MakeBlob("x"), [&](absl::StatusOr<Blob> reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      ended.Add();
    });
  }
  ended.WaitFor(200);
}

TEST_F(AsyncTest, TheQueueIsBounded) {
  BlockHandlers();
  Start({.max_queued_bytes = 200'000, .max_calls_in_flight = 1});
  std::array<Result, 20> results;
  for (Result& result : results) stub().Say(MakeBlob(std::string(50'000, 'x')), result.callback());
  may_end.Set();
  size_t fine = 0;
  for (Result& result : results) {
    const absl::Status status = result.Wait().status();
    if (status.ok()) {
      ++fine;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(std::string(status.message()), HasSubstr("max_queued_bytes"));
      EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
    }
  }
  EXPECT_GE(fine, 3u);
  EXPECT_LE(fine, 5u);
}

// Calls that end by their deadline leave more bytes behind than new ones may add to.
TEST_F(AsyncTest, WhatIsLeftOfEndedCallsKeepsNobodyWaiting) {
  BlockHandlers();
  server = StartServer({.max_queued_bytes = 0, .max_handler_threads = 1});
  channel = Connect({.max_queued_bytes = 100'000});
  // One is run, one read, and the third waits for room.
  std::array<Result, 3> ended;
  const CallOptions soon = {.timeout = absl::Milliseconds(500)};
  stub().Say(MakeBlob("x"), ended[0].callback(), soon);
  began.WaitFor(1);
  stub().Say(MakeBlob("x"), ended[1].callback(), soon);
  stub().Say(MakeBlob(std::string(400'000, 'x')), ended[2].callback(), soon);
  for (Result& result : ended) EXPECT_EQ(result.WaitForCode(), absl::StatusCode::kDeadlineExceeded);
  may_end.Set();
  Result next;
  stub().Say(MakeBlob("y"), next.callback(), {.timeout = absl::Seconds(10)});
  EXPECT_TRUE(next.Wait().ok());
}

TEST_F(AsyncTest, WhoDoesNotWaitIsRefusedAtOnce) {
  BlockHandlers();
  Start({.max_calls_in_flight = 1});
  Result first, second;
  stub().Say(MakeBlob(""), first.callback());
  stub().Say(MakeBlob(""), second.callback(), {.when_full = WhenFull::kFailFast});
  EXPECT_EQ(second.WaitForCode(), absl::StatusCode::kResourceExhausted);
  may_end.Set();
  EXPECT_TRUE(first.Wait().ok());
}

TEST_F(AsyncTest, ABlockingCallBesideManyAsynchronousOnes) {
  Start();
  std::atomic<bool> over{false};
  Counter chains_ended;
  const Echo::AsyncStub async = stub();
  std::function<void()> call = [&] {
    async.Say(MakeBlob(std::string(20'000, 'x')), [&](absl::StatusOr<Blob> reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      over ? static_cast<void>(chains_ended.Add()) : call();
    });
  };
  for (int i = 0; i < 30; ++i) call();
  const Echo::Stub blocking(channel);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Must(blocking.Say(MakeBlob("b"), {.timeout = kLong})).data(), "b");
  over = true;
  chains_ended.WaitFor(30);
}

// --- what a callback may do ---

TEST_F(AsyncTest, ACallbackMayMakeABlockingCall) {
  Start();
  Result result;
  stub().Say(MakeBlob("1"), [&](absl::StatusOr<Blob>) {
    result.callback()(Echo::Stub(channel).Say(MakeBlob("2"), {.timeout = kLong}));
  });
  EXPECT_EQ(Must(result.Wait()).data(), "2");
}

TEST_F(AsyncTest, ACallbackMayCancelOthers) {
  BlockHandlers();
  Start();
  std::stop_source stop;
  Result other, first;
  stub().MayBlock(MakeBlob(""), [&](absl::StatusOr<Blob>) {
    stop.request_stop();
    first.callback()(Blob());
  });
  stub().Say(MakeBlob(""), other.callback(), {.stop_token = stop.get_token()});
  EXPECT_EQ(other.WaitForCode(), absl::StatusCode::kCancelled);
  first.Wait().IgnoreError();
  may_end.Set();
}

// NEARCALL_CALLBACKS says how often.
TEST_F(AsyncTest, ACallbackMayDestroyTheChannel) {
  server = StartServer();
  const size_t rounds = TortureCount("NEARCALL_CALLBACKS", 200);
  for (size_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::optional<Echo::AsyncStub> async(Connect());
    Event alone, gone;
    Counter ended;
    const auto end = [&ended](const absl::StatusOr<Blob>& reply) {
      EXPECT_TRUE(reply.ok() || absl::IsCancelled(reply.status())) << reply.status();
      ended.Add();
    };
    for (int i = 0; i < 5; ++i) async->Say(MakeBlob(""), end);
    async->Say(MakeBlob(""), [last = async, &alone, &gone](const absl::StatusOr<Blob>&) mutable {
      alone.Wait();
      last.reset();
      gone.Set();
    });
    for (int i = 0; i < 5; ++i) async->Say(MakeBlob(""), end);
    async.reset();
    alone.Set();
    gone.Wait();
    ended.WaitFor(10);
  }
}

TEST_F(AsyncTest, ACallbackThatThrowsIsLogged) {
  server = StartServer();
  Log log_of_channel;
  channel = Connect({.log_sink = log_of_channel.sink()});
  const size_t count = TortureCount("NEARCALL_CALLBACKS", 100);
  Counter thrown;
  for (size_t i = 0; i < count; ++i) {
    stub().Say(MakeBlob(""), [&thrown](absl::StatusOr<Blob>) {
      thrown.Add();
      throw std::runtime_error("secret");
    });
    thrown.WaitFor(i + 1 - i % 100);
  }
  thrown.WaitFor(count);
  Result next;
  stub().Say(MakeBlob(""), next.callback());
  EXPECT_TRUE(next.Wait().ok());
  EXPECT_TRUE(Eventually(
      [&] { return log_of_channel.Has("the callback of nearcall.integration.Echo/Say threw an exception"); }));
  EXPECT_FALSE(log_of_channel.Has("secret"));
  channel.reset();  // its last lines go to the log that is here
}

TEST_F(AsyncTest, CallbacksThatThrowAndCallGoOn) {
  const size_t rounds = TortureCount("NEARCALL_CALLBACKS", 200);
  Start();
  Counter ended;
  const Echo::AsyncStub async = stub();
  const Echo::Stub blocking(channel);
  for (size_t round = 0; round < rounds; ++round) {
    async.Say(MakeBlob("1"), [&](const absl::StatusOr<Blob>& first) {
      EXPECT_TRUE(first.ok()) << first.status();
      async.Say(MakeBlob("2"), [&](const absl::StatusOr<Blob>& second) {
        EXPECT_TRUE(second.ok()) << second.status();
        EXPECT_EQ(Must(blocking.Say(MakeBlob("3"), {.timeout = kLong})).data(), "3");
        ended.Add();
        throw std::runtime_error("thrown by a callback");
      });
    });
    // Not more at a time than may be queued.
    if (round % 100 == 99) ended.WaitFor(round - 50);
  }
  ended.WaitFor(rounds);
}

TEST_F(AsyncTest, AnExecutorRunsTheCallbacks) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  server = StartServer();
  channel = Connect({.executor = [&](auto task) {
    const std::lock_guard lock(mutex);
    threads.emplace_back(std::move(task));
  }});
  std::array<Result, 10> results;
  for (size_t i = 0; i < results.size(); ++i) stub().Say(MakeBlob(std::to_string(i)), results[i].callback());
  std::set<std::thread::id> ids;
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(Must(results[i].Wait()).data(), std::to_string(i));
    ids.insert(results[i].thread());
  }
  EXPECT_EQ(ids.size(), results.size());
  channel.reset();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(AsyncTest, AForkedChildGetsAnAnswerToo) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "the sanitizer does not survive it";
  Start();
  Result before;
  stub().Say(MakeBlob(""), before.callback());
  EXPECT_TRUE(before.Wait().ok());
  const pid_t child = ::fork();
  if (child == 0) {
    Result result;
    stub().Say(MakeBlob(""), result.callback());
    const bool right = result.WaitForCode() == absl::StatusCode::kFailedPrecondition;
    channel.reset();
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace nearcall::integration
