// SPDX-License-Identifier: Apache-2.0
#include "torture/scenario.h"

#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "nearcall/interceptor.h"
#include "stream_service.h"

namespace nearcall::integration {

namespace {

// Long enough for anything but a call that is lost.
constexpr absl::Duration kPatience = absl::Seconds(3);
constexpr size_t kLargeSize = 100'000;

void Silence(LogSeverity, absl::string_view) {}

// Notes how a part has ended. DEADLINE_EXCEEDED: something was waited for that nobody would ever do.
void Note(absl::string_view part, const absl::Status& status, ScenarioEnd& end) {
  end.succeeded = end.succeeded && status.ok();
  if (absl::IsDeadlineExceeded(status)) absl::StrAppend(&end.wrong, part, ": ", status.ToString(), "; ");
}

// What a program brings along.
struct Program {
  const Blob small = MakeBlob("small");
  const Blob large = MakeBlob(std::string(kLargeSize, 'x'));
};

const Program& TheProgram() {
  static const Program program;
  return program;
}

void CallBlocking(const Echo::Stub& stub, ScenarioEnd& end) {
  const CallOptions options = {.timeout = kPatience};
  Note("small call", stub.Say(TheProgram().small, options).status(), end);
  Note("large call", stub.Say(TheProgram().large, options).status(), end);
  Note("call of a thread of its own", stub.MayBlock(TheProgram().small, options).status(), end);
}

struct AsyncCall {
  bool begun = false;
  Counter ends;
  absl::Status status;
};

// One that cannot even be wrapped up throws, and has not begun.
template <typename Start>
void Begin(AsyncCall& call, ScenarioEnd& end, const Start& start) {
  try {
    start([&call](const absl::StatusOr<Blob>& reply) {
      call.status = reply.status();
      call.ends.Add();
    });
    call.begun = true;
  } catch (const std::bad_alloc&) {
    end.succeeded = false;
  }
}

using AsyncCalls = std::array<AsyncCall, 3>;

void CallAsynchronously(const Echo::AsyncStub& stub, AsyncCalls& calls, ScenarioEnd& end) {
  const CallOptions options = {.timeout = kPatience};
  Begin(calls[0], end, [&](auto done) { stub.Say(TheProgram().small, std::move(done), options); });
  Begin(calls[1], end, [&](auto done) { stub.Say(TheProgram().large, std::move(done), options); });
  Begin(calls[2], end, [&](auto done) { stub.MayBlock(TheProgram().small, std::move(done), options); });
  for (AsyncCall& call : calls) {
    if (call.begun) call.ends.WaitFor(1);
    Note("asynchronous call", call.status, end);
    if (call.ends.value() != (call.begun ? 1 : 0)) {
      absl::StrAppend(&end.wrong, "a call has ended ", call.ends.value(), " times; ");
    }
  }
}

// A stream that cannot even be made throws.
void CallStreaming(const Streams::Stub& stub, ScenarioEnd& end) {
  try {
    const auto chat = stub.Chat({.timeout = kPatience});
    Blob reply;
    for (const Blob* element : {&TheProgram().small, &TheProgram().large}) {
      if (!chat->Write(*element) || !chat->Read(&reply)) break;
    }
    Note("stream", chat->Finish(), end);
  } catch (const std::bad_alloc&) {
    end.succeeded = false;
  }
}

// Counts the calls whose end it has not been told. Takes no memory.
template <typename Base, typename Call>
class Counting final : public Base {
 public:
  absl::StatusOr<OnCallEnd> Start(const CallInfo&, Call&) override {
    ++open_;
    return [this](const CallEnd&) { --open_; };
  }
  int open() const { return open_; }

 private:
  std::atomic<int> open_ = 0;
};

using CountingClient = Counting<ClientInterceptor, CallOptions>;
using CountingServer = Counting<ServerInterceptor, ServerContext>;

// Of both sides.
struct Interceptors {
  std::shared_ptr<CountingClient> client = std::make_shared<CountingClient>();
  std::shared_ptr<CountingServer> server = std::make_shared<CountingServer>();
};

void UseServer(ChannelOptions options, AsyncCalls& calls, ScenarioEnd& end) {
  auto channel = Channel::Connect(Address(), std::move(options));
  Note("connect", channel.status(), end);
  if (!channel.ok()) return;
  CallBlocking(Echo::Stub(*channel), end);
  CallStreaming(Streams::Stub(*channel), end);
  CallAsynchronously(Echo::AsyncStub(*channel), calls, end);
}

}  // namespace

void PrepareScenario() {
  TheProgram();
}

ScenarioEnd RunScenario() {
  ScenarioEnd end = {.succeeded = true};
  EchoService echo;
  StreamService streams;
  std::optional<AsyncCalls> calls;
  std::optional<Interceptors> interceptors;
  std::optional<ServerBuilder> builder;
  ChannelOptions options = {.handshake_timeout = kPatience, .log_sink = Silence};
  try {
    calls.emplace();
    interceptors.emplace();
    options.interceptors = {interceptors->client};
    builder.emplace(ServerOptions{.expected_clients = 48, .log_sink = Silence, .interceptors = {interceptors->server}});
    builder->Listen(Address()).Register(&echo).Register(&streams);
  } catch (const std::bad_alloc&) {
    end.succeeded = false;
    return end;
  }
  try {
    const auto server = builder->Start();
    Note("start", server.status(), end);
    if (server.ok()) UseServer(std::move(options), *calls, end);
  } catch (const std::exception& exception) {
    absl::StrAppend(&end.wrong, "exception: ", exception.what(), "; ");
  }
  if (interceptors->client->open() != 0 || interceptors->server->open() != 0) {
    absl::StrAppend(&end.wrong, "interceptors were not told the end of each call, or more than once; ");
  }
  end.succeeded = end.succeeded && end.wrong.empty();
  return end;
}

}  // namespace nearcall::integration
