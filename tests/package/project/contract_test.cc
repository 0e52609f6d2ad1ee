// SPDX-License-Identifier: Apache-2.0

// The public contract, as a program outside the project is written. Everything here must go on compiling, without a
// warning, and mean what it means now.
#include "contract.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace {

std::atomic<int> failures = 0;

}  // namespace

void Failed(const char* file, int line, const char* condition) {
  std::cerr << file << ":" << line << ": " << condition << "\n";
  ++failures;
}

demo::Request MakeRequest(const std::string& text) {
  demo::Request request;
  request.set_text(text);
  return request;
}

namespace {

class EchoImpl final : public demo::Echo::Service {
  absl::Status Say(nearcall::ServerContext& context, const demo::Request& request, demo::Reply& reply) override;
  absl::Status Down(nearcall::ServerContext&, const demo::Request&, nearcall::ServerWriter<demo::Reply>&) override;
  absl::Status Up(nearcall::ServerContext&, nearcall::ServerReader<demo::Request>&, demo::Reply&) override;
  absl::Status Chat(nearcall::ServerContext&, nearcall::ServerReaderWriter<demo::Request, demo::Reply>&) override;
};

absl::Status EchoImpl::Say(nearcall::ServerContext& context, const demo::Request& request, demo::Reply& reply) {
  if (request.text() == "throw") throw std::runtime_error("a secret");
  if (request.text() == "refuse") return absl::FailedPreconditionError("not now");
  if (request.text() == "who") {
    EXPECT(context.peer().pid == ::getpid());
    EXPECT(context.peer().uid == ::geteuid());
    EXPECT(context.peer().gid == ::getegid());
    EXPECT(context.transport() == "shm");
    EXPECT(context.priority() == nearcall::Priority::kHigh);
    EXPECT(context.sequence_number() > 0);
    EXPECT(context.deadline() > absl::Now() && context.deadline() < absl::InfiniteFuture());
    EXPECT(!context.IsCancelled() && !context.stop_token().stop_requested());
    EXPECT(context.client_metadata().Get("trace-id") == "7f3a");
    context.initial_metadata().Add("first", "1");
    context.trailing_metadata().Add("last", "2");
  }
  reply.set_text(request.text());
  return absl::OkStatus();
}

// The letters of the request, one by one; after "forever" the last one for ever.
absl::Status EchoImpl::Down(nearcall::ServerContext& context, const demo::Request& request,
                            nearcall::ServerWriter<demo::Reply>& writer) {
  context.initial_metadata().Add("first", "1");
  context.SendInitialMetadata();
  context.trailing_metadata().Add("last", "2");
  demo::Reply reply;
  for (const char letter : request.text()) {
    reply.set_text(std::string(1, letter));
    if (!writer.Write(reply)) return absl::CancelledError();
  }
  while (request.text() == "forever") {
    if (!writer.Write(reply)) return absl::CancelledError();
  }
  return absl::OkStatus();
}

absl::Status EchoImpl::Up(nearcall::ServerContext& context, nearcall::ServerReader<demo::Request>& reader,
                          demo::Reply& reply) {
  for (const demo::Request& request : reader) {
    if (request.text() == "refuse") return absl::FailedPreconditionError("not now");
    reply.set_text(reply.text() + request.text());
  }
  return context.IsCancelled() ? absl::CancelledError() : absl::OkStatus();
}

absl::Status EchoImpl::Chat(nearcall::ServerContext&,
                            nearcall::ServerReaderWriter<demo::Request, demo::Reply>& stream) {
  demo::Request request;
  demo::Reply reply;
  while (stream.Read(&request)) {
    reply.set_text(request.text());
    if (!stream.Write(reply)) return absl::CancelledError();
  }
  return absl::OkStatus();
}

void EveryFormOfACall(demo::Echo::Stub& echo) {
  const demo::Request request = MakeRequest("hello");
  const nearcall::CallOptions options;
  {
    absl::StatusOr<demo::Reply> reply = echo.Say(request);  // unary, shortest form
    EXPECT(reply.ok() && reply->text() == "hello");
  }
  {
    absl::StatusOr<demo::Reply> reply =
        echo.Say(request, {.timeout = absl::Seconds(5), .priority = nearcall::Priority::kHigh});
    EXPECT(reply.ok() && reply->text() == "hello");
  }
  {
    demo::Reply reply;
    reply.set_text("from an earlier call");
    absl::Status status = echo.Say(request, &reply, options);  // reuses reply: no allocation when warm
    EXPECT(status.ok() && reply.text() == "hello");
    EXPECT(echo.Say(request, &reply).ok());
  }
  auto means_options = echo.Say(request, {});
  static_assert(std::is_same_v<decltype(means_options), absl::StatusOr<demo::Reply>>);
  EXPECT(means_options.ok());
}

void OptionsInTheirOrder(demo::Echo::Stub& echo) {
  nearcall::ResponseMetadata response_metadata;
  std::stop_source stop_source;
  absl::StatusOr<demo::Reply> reply = echo.Say(MakeRequest("who"), {.timeout = absl::Minutes(1),
                                                                    .deadline = absl::Now() + absl::Minutes(2),
                                                                    .priority = nearcall::Priority::kHigh,
                                                                    .metadata = {{"trace-id", "7f3a"}},
                                                                    .stop_token = stop_source.get_token(),
                                                                    .wait_for_ready = false,
                                                                    .when_full = nearcall::WhenFull::kBlock,
                                                                    .response_metadata = &response_metadata});
  EXPECT(reply.ok());
  EXPECT(response_metadata.initial.Get("first") == "1");
  EXPECT(response_metadata.trailing.Get("last") == "2");
  static_assert(std::is_aggregate_v<nearcall::CallOptions>);
  const nearcall::CallOptions defaults;
  EXPECT(!defaults.timeout && !defaults.deadline && !defaults.priority);
  EXPECT(defaults.when_full == nearcall::WhenFull::kBlock && defaults.response_metadata == nullptr);
}

void Failures(demo::Echo::Stub& echo) {
  const absl::Status refused = echo.Say(MakeRequest("refuse")).status();
  EXPECT(refused.code() == absl::StatusCode::kFailedPrecondition && refused.message() == "not now");
  EXPECT(nearcall::ExecStateOf(refused) == nearcall::ExecState::kExecuted);

  const absl::Status thrown = echo.Say(MakeRequest("throw")).status();
  EXPECT(thrown.code() == absl::StatusCode::kUnknown);
  EXPECT(std::string(thrown.message()).find("secret") == std::string::npos);

  const absl::Status unimplemented = echo.Shout(MakeRequest("hello")).status();
  EXPECT(unimplemented.code() == absl::StatusCode::kUnimplemented);
  EXPECT(std::string(unimplemented.message()).find("demo.Echo/Shout") != std::string::npos);

  const absl::Status late = echo.Say(MakeRequest("hello"), {.timeout = absl::ZeroDuration()}).status();
  EXPECT(late.code() == absl::StatusCode::kDeadlineExceeded);
  EXPECT(nearcall::ExecStateOf(late) == nearcall::ExecState::kNotSent);

  std::stop_source stop_source;
  stop_source.request_stop();
  const absl::Status stopped = echo.Say(MakeRequest("hello"), {.stop_token = stop_source.get_token()}).status();
  EXPECT(stopped.code() == absl::StatusCode::kCancelled);
}

void ServerStreaming(demo::Echo::Stub& echo, const nearcall::CallOptions& options) {
  std::unique_ptr<nearcall::ClientReader<demo::Reply>> reader = echo.Down(MakeRequest("abc"), options);
  EXPECT(reader->WaitForInitialMetadata() && reader->metadata().initial.Get("first") == "1");
  demo::Reply first;
  EXPECT(reader->Read(&first) && first.text() == "a");
  std::string rest;
  for (const demo::Reply& reply : *reader) rest += reply.text();
  EXPECT(rest == "bc" && !reader->Read(&first));
  absl::Status status = reader->Finish();
  EXPECT(status.ok() && reader->Finish().ok());
  EXPECT(reader->metadata().trailing.Get("last") == "2");

  reader = echo.Down(MakeRequest("forever"));
  EXPECT(reader->Read(&first));
  reader->Cancel();
  EXPECT(!reader->Read(&first) && reader->Finish().code() == absl::StatusCode::kCancelled);
  reader = echo.Down(MakeRequest("forever"));
  reader.reset();  // cancels it
}

void ClientStreaming(demo::Echo::Stub& echo, const nearcall::CallOptions& options) {
  std::unique_ptr<nearcall::ClientWriter<demo::Request, demo::Reply>> writer = echo.Up(options);
  EXPECT(writer->Write(MakeRequest("a")) && writer->WriteLast(MakeRequest("b")));
  EXPECT(!writer->Write(MakeRequest("c")) && !writer->WritesDone());
  absl::StatusOr<demo::Reply> reply = writer->Finish();
  EXPECT(reply.ok() && reply->text() == "ab");

  writer = echo.Up();
  while (writer->Write(MakeRequest("refuse"))) continue;  // until the server's answer has come
  EXPECT(writer->Finish().status().code() == absl::StatusCode::kFailedPrecondition);
}

void BothStream(demo::Echo::Stub& echo, const nearcall::CallOptions& options) {
  std::unique_ptr<nearcall::ClientReaderWriter<demo::Request, demo::Reply>> chat = echo.Chat(options);
  demo::Reply reply;
  for (const char* text : {"one", "two"}) {
    EXPECT(chat->Write(MakeRequest(text)));
    EXPECT(chat->Read(&reply) && reply.text() == text);
  }
  EXPECT(chat->WritesDone() && !chat->Read(&reply));
  EXPECT(chat->Finish().ok());

  std::stop_source stop_source;
  chat = echo.Chat({.stop_token = stop_source.get_token()});
  std::jthread stopping([&] { stop_source.request_stop(); });
  EXPECT(!chat->Read(&reply) && chat->Finish().code() == absl::StatusCode::kCancelled);
}

void WithoutAServer() {
  static_assert(std::is_aggregate_v<nearcall::ChannelOptions> && std::is_aggregate_v<nearcall::ServerOptions>);
  const auto nobody = nearcall::Channel::Connect("shm:nobody", nearcall::ChannelOptions{.max_message_size = 1 << 20});
  EXPECT(nobody.status().code() == absl::StatusCode::kUnavailable);
  const absl::Time start = absl::Now();
  const auto waited = nearcall::Channel::Connect("shm:nobody", {.connect_timeout = absl::Milliseconds(50)});
  EXPECT(waited.status().code() == absl::StatusCode::kUnavailable);
  EXPECT(absl::Now() - start >= absl::Milliseconds(50));
  EXPECT(nearcall::Channel::Connect("shm:").status().code() == absl::StatusCode::kInvalidArgument);
}

void WithAServer() {
  EchoImpl impl;
  absl::StatusOr<std::unique_ptr<nearcall::Server>> server =
      nearcall::ServerBuilder().Listen("shm:echo").Register(&impl).Start();
  EXPECT(server.ok());
  if (!server.ok()) return;
  std::jthread waiting([&] { (*server)->Wait(); });

  absl::StatusOr<std::shared_ptr<nearcall::Channel>> channel =
      nearcall::Channel::Connect("shm:echo", nearcall::ChannelOptions{});
  EXPECT(channel.ok());
  if (channel.ok()) {
    EXPECT((*channel)->transport() == "shm");
    EXPECT(!(*channel)->DebugString().empty() && !(*server)->DebugString().empty());
    demo::Echo::Stub echo(*channel);  // copyable, thread-safe, keeps the channel alive
    channel->reset();
    demo::Echo::Stub copy = echo;
    EveryFormOfACall(copy);
    OptionsInTheirOrder(copy);
    Failures(copy);
    ServerStreaming(copy, {});
    ClientStreaming(copy, {.timeout = absl::Minutes(1)});
    BothStream(copy, nearcall::CallOptions());
    (*server)->Shutdown(absl::Milliseconds(100));
    EXPECT(copy.Say(MakeRequest("hello")).status().code() == absl::StatusCode::kUnavailable);
    EXPECT(copy.Chat()->Finish().code() == absl::StatusCode::kUnavailable);  // never null
  }
  (*server)->Shutdown();
}

}  // namespace

int main() {
  char directory[] = "/tmp/contract_test.XXXXXX";
  if (::mkdtemp(directory) == nullptr) return 1;
  ::setenv("NEARCALL_DIR", directory, 1);
  WithoutAServer();
  WithAServer();
  WithoutWaiting();
  WithDerivedClasses();
  const std::string remove = std::string("rm -r ") + directory;
  if (std::system(remove.c_str()) != 0) return 1;
  return failures == 0 ? 0 : 1;
}
