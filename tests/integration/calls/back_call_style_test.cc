// SPDX-License-Identifier: Apache-2.0

// Calls of a server to its client, in each style at either end.
#include <array>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "back_call_fixture.h"
#include "co_service.h"
#include "driven_server.h"
#include "nearcall/event_queue.h"
#include "nearcall/task.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

enum class Style { kBlocking, kCallback, kCoroutine };
const char* NameOf(Style style) {
  return std::array{"Blocking", "Callback", "Coroutine"}[static_cast<size_t>(style)];
}

class AsyncEcho final : public Echo::AsyncService {
 public:
  void Say(ServerContext&, const Blob& request, Blob& reply, absl::AnyInvocable<void(absl::Status) &&> done) override {
    reply = request;
    answering_ = std::jthread([done = std::move(done)]() mutable { std::move(done)(absl::OkStatus()); });
  }

 private:
  std::jthread answering_;  // of one call at a time
};

struct StyleCase {
  Style caller;
  Style handler;
};

class BackCallStyleTest : public BackCallTest, public ::testing::WithParamInterface<StyleCase> {
 protected:
  Service* ServiceIn(Style style) {
    if (style == Style::kBlocking) return &mine;
    return style == Style::kCallback ? static_cast<Service*>(&async_echo_) : &co_echo_;
  }

  // A call to `to`, of which the thread that makes it waits.
  static absl::StatusOr<Blob> Call(Style style, std::shared_ptr<Channel> to, const Blob& request) {
    if (style == Style::kBlocking) return Echo::Stub(to).Say(request, InTime());
    if (style == Style::kCoroutine) return SyncWait(CoCall(to, request));
    std::promise<absl::StatusOr<Blob>> reply;
    Echo::AsyncStub(to).Say(
        request, [&](absl::StatusOr<Blob> said) { reply.set_value(std::move(said)); }, InTime());
    return reply.get_future().get();
  }
  static Task<absl::StatusOr<Blob>> CoCall(std::shared_ptr<Channel> to, Blob request) {
    const CallOptions options = InTime();
    Echo::CoStub stub(to);
    co_return co_await stub.Say(request, options);
  }

 private:
  AsyncEcho async_echo_;
  CoEchoService co_echo_;
};

TEST_P(BackCallStyleTest, IsAnswered) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    absl::StatusOr<Blob> said = Call(GetParam().caller, context.client(), request);
    if (said.ok()) reply = *std::move(said);
    return said.status();
  };
  const auto server = StartServer();
  const Echo::Stub stub(Connect({.services = {ServiceIn(GetParam().handler)}}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Must(stub.Say(MakeBlob("hello"), InTime())).data(), "hello");
}

std::vector<StyleCase> AllStyles() {
  std::vector<StyleCase> all;
  for (const Style caller : {Style::kBlocking, Style::kCallback, Style::kCoroutine}) {
    for (const Style handler : {Style::kBlocking, Style::kCallback, Style::kCoroutine})
      all.push_back({caller, handler});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, BackCallStyleTest, ::testing::ValuesIn(AllStyles()), [](const auto& test) {
  return absl::StrCat(NameOf(test.param.caller), "CallsA", NameOf(test.param.handler));
});

TEST_F(BackCallTest, ACoroutineHandlerCallsItsClient) {
  CoEchoService co_echo;
  co_echo.say = [](ServerContext& context, const Blob& request, Blob& reply) -> Task<absl::Status> {
    const CallOptions options = CallOptions::FromServer(context);
    Echo::CoStub client_stub(context.client());
    absl::StatusOr<Blob> said = co_await client_stub.Say(request, options);
    if (said.ok()) reply = *std::move(said);
    co_return said.status();
  };
  const auto server = Must(ServerBuilder({.log_sink = log.sink()}).Listen(Address()).Register(&co_echo).Start());
  const Echo::Stub stub(ConnectServing());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Must(stub.Say(MakeBlob("hello"), InTime())).data(), "hello");
}

// In an event queue, where the answer is read on the very thread that the handler has.
class QueueEcho final : public Echo::AsyncService {
 public:
  void Say(ServerContext& context, const Blob& request, Blob& reply,
           absl::AnyInvocable<void(absl::Status) &&> done) override {
    const std::shared_ptr<Channel> client = context.client();
    blocking = Echo::Stub(client).Say(request, InTime()).status();
    auto answer = [client, &reply, done = std::move(done)](absl::StatusOr<Blob> said) mutable {
      if (said.ok()) reply = *std::move(said);
      std::move(done)(said.status());
    };
    Echo::AsyncStub(client).Say(request, std::move(answer), InTime());
  }

  absl::Status blocking;
};

TEST_F(BackCallTest, AServerInAnEventQueueDoesNotBlock) {
  EventQueue queue;
  QueueEcho queue_echo;
  const auto server = Must(
      ServerBuilder({.log_sink = log.sink(), .event_queue = &queue}).Listen(Address()).Register(&queue_echo).Start());
  const QueueThread thread(queue);
  const Echo::Stub stub(ConnectServing());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Must(stub.Say(MakeBlob("hello"), InTime())).data(), "hello");
  EXPECT_THAT(queue_echo.blocking, FailsWith(absl::StatusCode::kFailedPrecondition, "AsyncStub"));
}

}  // namespace
}  // namespace nearcall::integration
