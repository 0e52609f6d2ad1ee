// SPDX-License-Identifier: Apache-2.0

// Calls of which no thread waits: whoever looks in vain leaves an operation, which is run when there is news. Against a
// server whose threads wait.
#include <thread>

#include "nearcall/internal/client_call.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using internal::ClientCall;
using internal::MethodKind;
using internal::Tried;

constexpr internal::MethodInfo Method(const char* name, MethodKind kind) {
  return internal::MakeMethod(name, kind, Priority::kNormal, 0, false);
}
constexpr internal::MethodInfo kSay = Method("nearcall.integration.Echo/Say", MethodKind::kUnary);
constexpr internal::MethodInfo kDown = Method("nearcall.integration.Streams/Down", MethodKind::kServerStreaming);
constexpr internal::MethodInfo kUp = Method("nearcall.integration.Streams/Up", MethodKind::kClientStreaming);
constexpr internal::MethodInfo kChat = Method("nearcall.integration.Streams/Chat", MethodKind::kBidiStreaming);

// Says when it has been run, and on which thread.
class News final : public internal::Operation {
 public:
  News() : Operation([](Operation& operation) { static_cast<News&>(operation).Note(); }) {}

  void Wait() { run_.Wait(); }
  bool was_run() const { return run_.is_set(); }
  std::thread::id thread() const { return thread_; }

 private:
  void Note() {
    thread_ = std::this_thread::get_id();
    run_.Set();
  }

  std::thread::id thread_;
  Event run_;
};

// Looks until there is something.
template <typename Try>
Tried UntilRead(ClientCall& call, Try look) {
  for (;;) {
    const Tried tried = look();
    if (tried != Tried::kNotYet) return tried;
    News news;
    if (call.WhenReadable(news)) news.Wait();
  }
}

bool Read(ClientCall& call, Blob& element) {
  return UntilRead(call, [&] { return call.TryRead(element); }) == Tried::kDone;
}

bool Write(ClientCall& call, const Blob& element, bool last = false) {
  for (;;) {
    const Tried tried = call.TryWrite(element, last);
    if (tried != Tried::kNotYet) return tried == Tried::kDone;
    News news;
    if (call.WhenWritable(news)) news.Wait();
  }
}

absl::Status Finish(ClientCall& call, Blob* reply = nullptr) {
  absl::Status status;
  EXPECT_EQ(UntilRead(call, [&] { return call.TryFinish(reply, status); }), Tried::kDone);
  return status;
}

// There is nothing to read, and `news` is to say when there is.
void ReadInVain(ClientCall& call, internal::Operation& news) {
  Blob element;
  EXPECT_EQ(call.TryRead(element), Tried::kNotYet);
  EXPECT_TRUE(call.WhenReadable(news));
}

class OpenCallTest : public StreamTest {
 protected:
  std::unique_ptr<ClientCall> Begin(const internal::MethodInfo& method, const Blob* request = nullptr,
                                    const CallOptions& options = {}) {
    if (channel_ == nullptr) channel_ = Connect();
    return channel_->BeginCall(method, request, options);
  }

  std::shared_ptr<Channel> channel_;
};

TEST_F(OpenCallTest, AUnaryCall) {
  const auto server = StartServer();
  const Blob request = MakeBlob("hello");
  const auto call = Begin(kSay, &request);
  Blob reply;
  EXPECT_TRUE(Finish(*call, &reply).ok());
  EXPECT_EQ(reply.data(), "hello");
  EXPECT_TRUE(Finish(*call).ok());  // again
}

TEST_F(OpenCallTest, TheServerSendsElements) {
  const auto server = StartServer();
  const Blob request = MakeBlob("3");
  const auto call = Begin(kDown, &request);
  Blob element;
  for (const char* expected : {"0", "1", "2"}) {
    ASSERT_TRUE(Read(*call, element));
    EXPECT_EQ(element.data(), expected);
  }
  EXPECT_FALSE(Read(*call, element));
  EXPECT_TRUE(Finish(*call).ok());
}

TEST_F(OpenCallTest, TheClientSendsElements) {
  const auto server = StartServer();
  const auto call = Begin(kUp);
  for (const size_t size : {3u, 0u, 4u}) EXPECT_TRUE(Write(*call, Element(0, size)));
  EXPECT_TRUE(call->WritesDone());
  EXPECT_FALSE(call->WritesDone());
  EXPECT_FALSE(Write(*call, MakeBlob("late")));
  Blob reply;
  EXPECT_TRUE(Finish(*call, &reply).ok());
  EXPECT_EQ(reply.data(), "3 elements, 7 B");
}

TEST_F(OpenCallTest, BothSendElementsOfAnySize) {
  const auto server = StartServer();
  const auto call = Begin(kChat);
  Blob element;
  for (const size_t size : {0u, 1u, 64u, 9'000u, 100'000u, 1u << 20, 3u << 20}) {
    ASSERT_TRUE(Write(*call, Element(size, size)));
    ASSERT_TRUE(Read(*call, element));
    EXPECT_TRUE(IsElement(element, size, size));
  }
  EXPECT_TRUE(Write(*call, MakeBlob("last"), true));
  EXPECT_TRUE(Read(*call, element));
  EXPECT_FALSE(Read(*call, element));
  EXPECT_TRUE(Finish(*call).ok());
}

TEST_F(OpenCallTest, ManyAtOnce) {
  const auto server = StartServer();
  constexpr size_t kCalls = 40;
  std::vector<std::unique_ptr<ClientCall>> calls;
  for (size_t i = 0; i < kCalls; ++i) calls.push_back(Begin(kChat));
  Blob element;
  for (size_t round = 0; round < 20; ++round) {
    for (size_t i = 0; i < kCalls; ++i) ASSERT_TRUE(Write(*calls[i], Element(i, round * 50)));
    for (size_t i = 0; i < kCalls; ++i) {
      ASSERT_TRUE(Read(*calls[i], element));
      EXPECT_TRUE(IsElement(element, i, round * 50));
    }
  }
  for (const auto& call : calls) EXPECT_TRUE(Finish(*call).ok());
}

// What is written before there is a connection has not to be lost, nor the end.
TEST_F(OpenCallTest, BeginsWhenTheServerComes) {
  channel_ = Connect({.lazy = true});
  const auto call = Begin(kUp, nullptr, {.wait_for_ready = true});
  News may_write;
  EXPECT_EQ(call->TryWrite(MakeBlob("early"), false), Tried::kNotYet);
  ASSERT_TRUE(call->WhenWritable(may_write));
  const auto server = StartServer();
  may_write.Wait();
  EXPECT_TRUE(Write(*call, MakeBlob("x")));
  Blob reply;
  EXPECT_TRUE(Finish(*call, &reply).ok());
  EXPECT_EQ(reply.data(), "1 elements, 1 B");
}

TEST_F(OpenCallTest, HalfClosesWhenTheServerComes) {
  channel_ = Connect({.lazy = true});
  const auto call = Begin(kUp, nullptr, {.wait_for_ready = true});
  EXPECT_TRUE(call->WritesDone());
  const auto server = StartServer();
  Blob reply;
  EXPECT_TRUE(Finish(*call, &reply).ok());
  EXPECT_EQ(reply.data(), "0 elements, 0 B");
}

TEST_F(OpenCallTest, NobodyListens) {
  channel_ = Connect({.lazy = true});
  const auto call = Begin(kChat);
  Blob element;
  EXPECT_FALSE(Read(*call, element));
  EXPECT_FALSE(Write(*call, element));
  const absl::Status status = Finish(*call);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
}

TEST_F(OpenCallTest, AWriterIsToldOfCredit) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto call = Begin(kUp);
  size_t written = 0;
  News may_write;
  for (;;) {
    const Tried tried = call->TryWrite(Element(written, 1000), false);
    if (tried == Tried::kDone) {
      ++written;
    } else if (written != 0 && call->WhenWritable(may_write)) {
      break;
    }
  }
  EXPECT_LT(written, 100u);  // the window is 64 KiB
  may_read.Set();
  may_write.Wait();
  EXPECT_TRUE(Write(*call, Element(written++, 1000)));
  Blob reply;
  EXPECT_TRUE(Finish(*call, &reply).ok());
  EXPECT_EQ(reply.data(), absl::StrCat(written, " elements, ", written * 1000, " B"));
}

TEST_F(OpenCallTest, WithoutCreditFailFastEndsIt) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto call = Begin(kUp, nullptr, {.when_full = WhenFull::kFailFast});
  while (Write(*call, Element(0, 1000))) continue;
  EXPECT_THAT(Finish(*call), FailsWith(StatusCode::kResourceExhausted, "no credit"));
  may_read.Set();
}

TEST_F(OpenCallTest, OperationsAreRunOnTheChannelsThread) {
  const auto server = StartServer();
  const auto call = Begin(kChat);
  News news;
  Blob element;
  ReadInVain(*call, news);
  ASSERT_TRUE(Write(*call, MakeBlob("x")));
  news.Wait();
  EXPECT_NE(news.thread(), std::this_thread::get_id());
  EXPECT_TRUE(Read(*call, element));
}

TEST_F(OpenCallTest, OrByItsExecutor) {
  const auto server = StartServer();
  std::promise<std::thread::id> ran;
  std::vector<std::thread> threads;
  Event given;
  channel_ = Connect({.executor = [&](auto task) {
    threads.emplace_back([&ran, task = std::move(task)]() mutable {
      ran.set_value(std::this_thread::get_id());
      std::move(task)();
    });
    given.Set();
  }});
  const Blob request = MakeBlob("x");
  const auto call = Begin(kSay, &request);
  News news;
  absl::Status status;
  if (call->WhenReadable(news)) news.Wait();
  Blob reply;
  EXPECT_EQ(call->TryFinish(&reply, status), Tried::kDone);
  given.Wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_NE(ran.get_future().get(), std::this_thread::get_id());
}

TEST_F(OpenCallTest, WhatIsWithdrawnIsNotRun) {
  const auto server = StartServer();
  const auto call = Begin(kChat);
  Blob element;
  News withdrawn;
  ReadInVain(*call, withdrawn);
  call->Withdraw(withdrawn);
  ASSERT_TRUE(Write(*call, MakeBlob("x")));
  ASSERT_TRUE(Read(*call, element));
  EXPECT_FALSE(withdrawn.was_run());
}

TEST_F(OpenCallTest, ACancelIsNews) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto call = Begin(kChat);
  began.Wait();
  News reading;
  Blob element;
  ReadInVain(*call, reading);
  call->Cancel();
  reading.Wait();
  EXPECT_EQ(call->TryRead(element), Tried::kOver);
  EXPECT_FALSE(Write(*call, MakeBlob("late")));
  EXPECT_EQ(Finish(*call).code(), StatusCode::kCancelled);
  may_read.Set();
  saw_cancel.Wait();
}

TEST_F(OpenCallTest, ADeadlineIsNews) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  const auto call = Begin(kChat, nullptr, {.timeout = absl::Milliseconds(20)});
  Blob element;
  EXPECT_FALSE(Read(*call, element));
  EXPECT_EQ(Finish(*call).code(), StatusCode::kDeadlineExceeded);
  may_read.Set();
}

TEST_F(OpenCallTest, ARequestToStopIsNews) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  std::stop_source stop;
  const auto call = Begin(kChat, nullptr, {.stop_token = stop.get_token()});
  began.Wait();
  News reading;
  ReadInVain(*call, reading);
  stop.request_stop();
  reading.Wait();
  EXPECT_EQ(Finish(*call).code(), StatusCode::kCancelled);
  may_read.Set();
  saw_cancel.Wait();
}

TEST_F(OpenCallTest, WhoeverDropsACallCancelsIt) {
  ReadOnlyWhenTold();
  const auto server = StartServer();
  auto call = Begin(kChat);
  began.Wait();
  call.reset();
  may_read.Set();
  saw_cancel.Wait();
}

TEST_F(OpenCallTest, TheEndOfTheServerIsNews) {
  ReadOnlyWhenTold();
  auto server = StartServer();
  const auto call = Begin(kChat);
  began.Wait();
  News reading;
  ReadInVain(*call, reading);
  may_read.Set();
  server->Shutdown(absl::ZeroDuration());
  server = nullptr;
  reading.Wait();
  EXPECT_EQ(Finish(*call).code(), StatusCode::kUnavailable);
}

TEST_F(OpenCallTest, WhatHasComeStaysReadable) {
  const auto server = StartServer();
  const Blob request = MakeBlob("3");
  const auto call = Begin(kDown, &request);
  Blob element;
  ASSERT_TRUE(Read(*call, element));
  // The call ends at some moment, unasked.
  ASSERT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  EXPECT_TRUE(Read(*call, element));
  EXPECT_TRUE(Read(*call, element));
  EXPECT_EQ(element.data(), "2");
  EXPECT_FALSE(Read(*call, element));
}

TEST_F(OpenCallTest, WhatIsNotReadIsDiscarded) {
  const auto server = StartServer();
  const Blob request = MakeBlob("20000");
  const auto call = Begin(kDown, &request);
  EXPECT_TRUE(Finish(*call).ok());
}

TEST_F(OpenCallTest, MetadataComeBeforeTheFirstElement) {
  streams.chat = [this](ServerContext& context, ChatStream& stream) {
    context.initial_metadata().Add("first", "1");
    context.trailing_metadata().Add("last", "2");
    context.SendInitialMetadata();
    may_read.Wait();
    return ChatBack(context, stream);
  };
  const auto server = StartServer();
  const auto call = Begin(kChat);
  EXPECT_EQ(UntilRead(*call, [&] { return call->TryInitialMetadata(); }), Tried::kDone);
  EXPECT_EQ(call->metadata().initial.Get("first"), "1");
  may_read.Set();
  EXPECT_TRUE(Finish(*call).ok());
  EXPECT_EQ(call->metadata().initial.Get("first"), "1");
  EXPECT_EQ(call->metadata().trailing.Get("last"), "2");
}

TEST_F(OpenCallTest, TheLastReferenceToTheChannelMayGoInAnOperation) {
  const auto server = StartServer();
  class Dropping final : public internal::Operation {
   public:
    Dropping() : Operation([](Operation& operation) { static_cast<Dropping&>(operation).Drop(); }) {}
    std::unique_ptr<ClientCall> call;
    std::shared_ptr<Channel> channel;
    Event dropped;

   private:
    void Drop() {
      call = nullptr;
      channel = nullptr;
      dropped.Set();
    }
  } dropping;
  ReadOnlyWhenTold();
  dropping.channel = Connect();
  dropping.call = dropping.channel->BeginCall(kChat, nullptr, {});
  began.Wait();
  ReadInVain(*dropping.call, dropping);
  dropping.call->Cancel();
  dropping.dropped.Wait();
  may_read.Set();
}

}  // namespace
}  // namespace nearcall::integration
