// SPDX-License-Identifier: Apache-2.0

// The part of the public contract (see contract_test.cc) that does not wait: callbacks and coroutines.
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "contract.h"

namespace {

class EchoByCallbacks final : public demo::Echo::AsyncService {
  void Say(nearcall::ServerContext&, const demo::Request& request, demo::Reply& reply, nearcall::Done done) override {
    reply.set_text(request.text());
    std::move(done)(absl::OkStatus());
  }
};

class EchoByCoroutines final : public demo::Echo::CoService {
  nearcall::Task<absl::Status> Say(nearcall::ServerContext& context, const demo::Request& request,
                                   demo::Reply& reply) override;
  nearcall::Task<absl::Status> Down(nearcall::ServerContext&, const demo::Request&,
                                    nearcall::CoServerWriter<demo::Reply>&) override;
  nearcall::Task<absl::Status> Up(nearcall::ServerContext&, nearcall::CoServerReader<demo::Request>&,
                                  demo::Reply&) override;
  nearcall::Task<absl::Status> Chat(nearcall::ServerContext&,
                                    nearcall::CoServerReaderWriter<demo::Request, demo::Reply>&) override;
};

nearcall::Task<absl::Status> EchoByCoroutines::Say(nearcall::ServerContext& context, const demo::Request& request,
                                                   demo::Reply& reply) {
  if (request.text() == "refuse") co_return absl::FailedPreconditionError("not now");
  context.trailing_metadata().Add("last", "2");
  reply.set_text(request.text());
  co_return absl::OkStatus();
}

// The letters of the request, one by one; after "forever" the last one for ever.
nearcall::Task<absl::Status> EchoByCoroutines::Down(nearcall::ServerContext&, const demo::Request& request,
                                                    nearcall::CoServerWriter<demo::Reply>& writer) {
  demo::Reply reply;
  for (const char letter : request.text()) {
    reply.set_text(std::string(1, letter));
    if (!co_await writer.Write(reply)) co_return absl::CancelledError();
  }
  while (request.text() == "forever") {
    if (!co_await writer.Write(reply)) co_return absl::CancelledError();
  }
  co_return absl::OkStatus();
}

nearcall::Task<absl::Status> EchoByCoroutines::Up(nearcall::ServerContext& context,
                                                  nearcall::CoServerReader<demo::Request>& reader, demo::Reply& reply) {
  while (const std::optional<demo::Request> request = co_await reader.Read()) {
    reply.set_text(reply.text() + request->text());
  }
  co_return context.IsCancelled() ? absl::CancelledError() : absl::OkStatus();
}

nearcall::Task<absl::Status> EchoByCoroutines::Chat(
    nearcall::ServerContext&, nearcall::CoServerReaderWriter<demo::Request, demo::Reply>& stream) {
  demo::Request request;
  demo::Reply reply;
  while (co_await stream.Read(&request)) {
    reply.set_text(request.text());
    if (!co_await stream.Write(reply)) co_return absl::CancelledError();
  }
  co_return absl::OkStatus();
}

nearcall::Task<absl::StatusOr<demo::Reply>> Ask(demo::Echo::CoStub echo, std::string text,
                                                nearcall::CallOptions options = {}) {
  const demo::Request request = MakeRequest(text);
  co_return co_await echo.Say(request, options);
}

nearcall::Task<> Unary(demo::Echo::CoStub echo) {
  const demo::Request request = MakeRequest("hello");
  const nearcall::CallOptions options = {.timeout = absl::Minutes(1)};
  nearcall::UnaryCall<demo::Reply> one = echo.Say(request, options);
  nearcall::UnaryCall<demo::Reply> other = echo.Say(request);  // both run
  absl::StatusOr<demo::Reply> reply = co_await one;
  EXPECT(reply.ok() && reply->text() == "hello");
  EXPECT(one.metadata().trailing.Get("last") == "2");
  reply = co_await other;
  EXPECT(reply.ok());
  const demo::Request refused = MakeRequest("refuse");
  reply = co_await echo.Say(refused);
  EXPECT(reply.status().code() == absl::StatusCode::kFailedPrecondition && reply.status().message() == "not now");
}

nearcall::Task<> ServerStreaming(demo::Echo::CoStub echo) {
  const demo::Request request = MakeRequest("abc");
  nearcall::CoReader<demo::Reply> reader = echo.Down(request);
  EXPECT(co_await reader.WaitForInitialMetadata());
  std::string letters;
  while (const std::optional<demo::Reply> reply = co_await reader.Read()) letters += reply->text();
  EXPECT(letters == "abc");
  absl::Status status = co_await reader.Finish();
  EXPECT(status.ok());

  const demo::Request endless = MakeRequest("forever");
  auto cancelled = echo.Down(endless);
  demo::Reply reply;
  EXPECT(co_await cancelled.Read(&reply) && reply.text() == "f");
  cancelled.Cancel();
  status = co_await cancelled.Finish();
  EXPECT(status.code() == absl::StatusCode::kCancelled);
  auto dropped = echo.Down(endless);  // which cancels it
}

nearcall::Task<> ClientStreaming(demo::Echo::CoStub echo) {
  const nearcall::CallOptions options = {.timeout = absl::Minutes(1)};
  nearcall::CoWriter<demo::Request, demo::Reply> writer = echo.Up(options);
  const demo::Request first = MakeRequest("a");
  const demo::Request last = MakeRequest("b");
  EXPECT(co_await writer.Write(first));
  EXPECT(co_await writer.WriteLast(last));
  EXPECT(!co_await writer.Write(last));
  EXPECT(!co_await writer.WritesDone());
  const absl::StatusOr<demo::Reply> reply = co_await writer.Finish();
  EXPECT(reply.ok() && reply->text() == "ab");
}

nearcall::Task<> BothStream(demo::Echo::CoStub echo) {
  nearcall::CoReaderWriter<demo::Request, demo::Reply> chat = echo.Chat();
  for (const char* text : {"one", "two"}) {
    const demo::Request request = MakeRequest(text);
    EXPECT(co_await chat.Write(request));
    const std::optional<demo::Reply> reply = co_await chat.Read();
    EXPECT(reply && reply->text() == text);
  }
  EXPECT(co_await chat.WritesDone());
  EXPECT(!co_await chat.Read());
  const absl::Status status = co_await chat.Finish();
  EXPECT(status.ok());
}

nearcall::Task<> Several(demo::Echo::CoStub echo) {
  auto [one, other] = co_await nearcall::WhenAll(Ask(echo, "one"), Ask(echo, "other"));
  EXPECT(one.ok() && one->text() == "one" && other.ok() && other->text() == "other");

  std::stop_source stop;
  nearcall::CallOptions options;
  options.stop_token = stop.get_token();
  auto [first, replies] = co_await nearcall::WhenAny(stop, Ask(echo, "one", options), Ask(echo, "other", options));
  const auto& [one_of_two, other_of_two] = replies;
  EXPECT(first == 0 ? one_of_two.ok() : other_of_two.ok());
}

// A coroutine that knows nothing of ours.
struct Foreign final {
  struct promise_type final {
    Foreign get_return_object() { return {ended.get_future()}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(bool value) { ended.set_value(value); }
    void unhandled_exception() { ended.set_exception(std::current_exception()); }
    std::promise<bool> ended;
  };
  std::future<bool> ended;
};

Foreign AwaitedElsewhere(demo::Echo::CoStub echo) {
  const demo::Request request = MakeRequest("hello");
  const absl::StatusOr<demo::Reply> reply = co_await echo.Say(request);
  co_return reply.ok() && reply->text() == "hello";
}

void Callbacks(const std::shared_ptr<nearcall::Channel>& channel) {
  std::promise<absl::StatusOr<demo::Reply>> promise;
  demo::Echo::AsyncStub echo(channel);
  echo.Say(MakeRequest("hello"), [&promise](absl::StatusOr<demo::Reply> reply) { promise.set_value(std::move(reply)); },
           {.timeout = absl::Minutes(1)});
  const absl::StatusOr<demo::Reply> reply = promise.get_future().get();
  EXPECT(reply.ok() && reply->text() == "hello");
}

void Coroutines(const std::shared_ptr<nearcall::Channel>& channel) {
  demo::Echo::CoStub echo(channel);  // copyable, thread-safe, keeps the channel alive
  nearcall::SyncWait(Unary(echo));
  nearcall::SyncWait(ServerStreaming(echo));
  nearcall::SyncWait(ClientStreaming(echo));
  nearcall::SyncWait(BothStream(echo));
  nearcall::SyncWait(Several(echo));
  EXPECT(AwaitedElsewhere(echo).ended.get());
  std::promise<bool> ended;
  nearcall::Start(Ask(echo, "hello"), [&](absl::StatusOr<demo::Reply> reply) { ended.set_value(reply.ok()); });
  EXPECT(ended.get_future().get());
}

}  // namespace

void WithoutWaiting() {
  EchoByCallbacks by_callbacks;
  EchoByCoroutines by_coroutines;
  for (nearcall::Service* service :
       {static_cast<nearcall::Service*>(&by_callbacks), static_cast<nearcall::Service*>(&by_coroutines)}) {
    const auto server = nearcall::ServerBuilder().Listen("shm:async").Register(service).Start();
    const auto channel = nearcall::Channel::Connect("shm:async");
    EXPECT(server.ok() && channel.ok());
    if (!server.ok() || !channel.ok()) return;
    Callbacks(*channel);
    if (service == &by_coroutines) Coroutines(*channel);
  }
}
