// SPDX-License-Identifier: Apache-2.0

// ChannelOptions::interceptors: what they see of calls of every style and kind, what they change, and that each start
// has one end, however its call ends.
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "co_service.h"
#include "driven_channel.h"
#include "nearcall/generic.h"
#include "recording_interceptors.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRefused[] = "not today";

class ClientInterceptorTest : public StreamTest {
 protected:
  ClientInterceptorTest() {
    notes_.note = [this](const Blob&) -> Task<absl::Status> {
      noted_.Add();
      co_return absl::OkStatus();
    };
  }

  std::unique_ptr<Server> StartServer() {
    return Must(ServerBuilder({.expected_clients = 48, .log_sink = log.sink()})
                    .Listen(Address())
                    .Register(&echo)
                    .Register(&streams)
                    .Register(&notes_)
                    .Start());
  }

  // A channel with interceptors that do just that; one alone is "A".
  std::shared_ptr<Channel> ConnectWith(std::vector<std::shared_ptr<ClientInterceptor>> interceptors) {
    return Connect({.log_sink = log.sink(), .interceptors = std::move(interceptors)});
  }
  std::shared_ptr<ClientInterceptor> Make(RecordingClient::OnStart on_start = nullptr,
                                          RecordingClient::OnEnd on_end = nullptr, std::string name = "A") {
    return std::make_shared<RecordingClient>(seen_, std::move(name), std::move(on_start), std::move(on_end));
  }
  std::shared_ptr<ClientInterceptor> Refusing() {
    return Make([](CallOptions&) { return absl::PermissionDeniedError(kRefused); }, nullptr, "B");
  }

  // What is seen of a call by A alone.
  static auto OneCall(const std::string& method, const std::string& end) {
    return ElementsAre("A starts " + method, "A ends " + method + " " + end);
  }

  // By callback.
  absl::Status Say(const std::shared_ptr<Channel>& channel) {
    std::promise<absl::Status> said;
    Echo::AsyncStub(channel).Say(
        MakeBlob("x"), [&](absl::StatusOr<Blob> reply) { said.set_value(reply.status()); }, InTime());
    return said.get_future().get();
  }

  CoNotesService notes_;
  Counter noted_;
  Seen seen_;
  std::unique_ptr<Server> server_ = nullptr;
};

// --- what is seen ---

TEST_F(ClientInterceptorTest, SeesUnaryCallsOfEveryStyle) {
  server_ = StartServer();
  const auto channel = ConnectWith({Make()});
  const std::string end = "OK, 1 sent, 1 received";
  const Echo::Stub stub(channel);
  EXPECT_TRUE(stub.Say(MakeBlob("x")).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", end));
  Blob reply;
  EXPECT_TRUE(stub.Say(MakeBlob("x"), &reply).ok());
  EXPECT_EQ(reply.data(), "x");
  EXPECT_THAT(seen_.Take(), OneCall("Say", end));
  EXPECT_TRUE(Say(channel).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", end));
  const auto co_say = [](Echo::CoStub co) -> Task<absl::Status> {
    const absl::StatusOr<Blob> said = co_await co.Say(MakeBlob("x"));
    co_return said.status();
  };
  EXPECT_TRUE(SyncWait(co_say(Echo::CoStub(channel))).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", end));
  EXPECT_TRUE(GenericStub(channel).Unary("nearcall.integration.Echo/Say", Bytes("")).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", end));
}

TEST_F(ClientInterceptorTest, SeesStreamsOfEveryKind) {
  server_ = StartServer();
  const Streams::Stub stub(ConnectWith({Make()}));
  const auto down = stub.Down(MakeBlob("3"), InTime());
  for (const Blob& element : *down) EXPECT_FALSE(element.data().empty());
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Down"));  // nobody knows the status yet
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_THAT(seen_.Take(), ElementsAre("A ends Down OK, 1 sent, 3 received"));
  const auto up = stub.Up(InTime());
  EXPECT_TRUE(up->Write(MakeBlob("a")) && up->WriteLast(MakeBlob("b")));
  EXPECT_FALSE(up->Write(MakeBlob("c")));
  EXPECT_TRUE(up->Finish().ok());
  EXPECT_THAT(seen_.Take(), OneCall("Up", "OK, 2 sent, 1 received"));
  const auto chat = stub.Chat(InTime());
  Blob reply;
  EXPECT_TRUE(chat->Write(MakeBlob("a")) && chat->Read(&reply) && chat->Write(MakeBlob("b")));
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_THAT(seen_.Take(), OneCall("Chat", "OK, 2 sent, 1 received"));
}

TEST_F(ClientInterceptorTest, SeesStreamsOfCoroutines) {
  server_ = StartServer();
  const Streams::CoStub stub(ConnectWith({Make()}));
  const CallOptions options = InTime();
  const auto talk = [&]() -> Task<absl::Status> {
    auto chat = stub.Chat(options);
    Blob element = MakeBlob("a");
    EXPECT_TRUE(co_await chat.Write(element));
    EXPECT_TRUE(co_await chat.Read(&element));
    EXPECT_TRUE(co_await chat.WriteLast(element));
    EXPECT_TRUE(co_await chat.Read(&element));
    EXPECT_FALSE(co_await chat.Read(&element));
    co_return co_await chat.Finish();
  };
  EXPECT_TRUE(SyncWait(talk()).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Chat", "OK, 2 sent, 2 received"));
  const auto upload = [&]() -> Task<absl::Status> {
    auto up = stub.Up(options);
    const Blob element = MakeBlob("a");
    EXPECT_TRUE(co_await up.Write(element));
    const absl::StatusOr<Blob> reply = co_await up.Finish();
    co_return reply.status();
  };
  EXPECT_TRUE(SyncWait(upload()).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Up", "OK, 1 sent, 1 received"));
}

TEST_F(ClientInterceptorTest, SeesOneWayCalls) {
  server_ = StartServer();
  const auto channel = ConnectWith({Make()});
  for (const Capacity capacity : {Capacity::kStarted, Capacity::kQueued, Capacity::kLocal}) {
    EXPECT_TRUE(Notes::Stub(channel).Note(MakeBlob("x"), {.capacity = capacity}).ok());
    EXPECT_THAT(seen_.Take(), OneCall("Note", "OK, 1 sent, 0 received"));
  }
  std::promise<absl::Status> started;
  Notes::AsyncStub(channel).Note(MakeBlob("x"), [&](absl::Status status) { started.set_value(std::move(status)); });
  EXPECT_TRUE(started.get_future().get().ok());
  EXPECT_THAT(seen_.Take(), OneCall("Note", "OK, 1 sent, 0 received"));
  noted_.WaitFor(4);
}

TEST_F(ClientInterceptorTest, SeesStatusMetadataAndTime) {
  echo.say = [](ServerContext& context, const Blob&, Blob&) {
    context.initial_metadata().Add("first", "1");
    context.trailing_metadata().Add("last", "2");
    return absl::NotFoundError("nothing there");
  };
  server_ = StartServer();
  int ends = 0;
  const auto note = [&](const CallEnd& end) {
    ++ends;
    EXPECT_THAT(end.status, FailsWith(StatusCode::kNotFound, "nothing there"));
    EXPECT_EQ(ExecStateOf(end.status), ExecState::kExecuted);
    EXPECT_EQ(end.call.kind, CallKind::kUnary);
    EXPECT_EQ(end.call.method, "nearcall.integration.Echo/Say");
    EXPECT_EQ(end.initial_metadata.Get("first"), "1");
    EXPECT_EQ(end.trailing_metadata.Get("last"), "2");
    EXPECT_GT(end.duration, absl::ZeroDuration());
  };
  const auto channel = ConnectWith({Make(nullptr, note)});
  EXPECT_FALSE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_FALSE(Say(channel).ok());
  ResponseMetadata callers;
  EXPECT_FALSE(Echo::Stub(channel).Say(MakeBlob("x"), {.response_metadata = &callers}).ok());
  EXPECT_EQ(callers.trailing.Get("last"), "2");
  EXPECT_EQ(ends, 3);
}

TEST_F(ClientInterceptorTest, ChangesMetadataDeadlineAndPriority) {
  echo.say = [](ServerContext& context, const Blob&, Blob& reply) {
    EXPECT_LT(context.deadline(), absl::InfiniteFuture());
    EXPECT_EQ(context.priority(), Priority::kHigh);
    reply.set_data(std::string(context.client_metadata().Get("token").value_or("none")));
    return absl::OkStatus();
  };
  server_ = StartServer();
  const Echo::Stub stub(ConnectWith({Make([](CallOptions& options) {
    options.metadata.Add("token", "open sesame");
    options.timeout = kLong;
    options.priority = Priority::kHigh;
    return absl::OkStatus();
  })}));
  CallOptions callers;
  EXPECT_EQ(Must(stub.Say(MakeBlob(""), callers)).data(), "open sesame");
  EXPECT_TRUE(callers.metadata.empty());  // the caller's are his
}

TEST_F(ClientInterceptorTest, TheFirstIsTheOutermost) {
  server_ = StartServer();
  std::vector<std::string> sizes;
  const auto add = [&](CallOptions& options) {
    sizes.push_back(absl::StrCat(options.metadata.size()));
    options.metadata.Add("key", "value");
    return absl::OkStatus();
  };
  const auto channel = ConnectWith({Make(add), Make(add, nullptr, "B")});
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say", "B starts Say", "B ends Say OK, 1 sent, 1 received",
                                        "A ends Say OK, 1 sent, 1 received"));
  EXPECT_THAT(sizes, ElementsAre("0", "1"));
}

// --- refused ---

class ClientInterceptorRefusalTest : public ClientInterceptorTest {
 protected:
  ClientInterceptorRefusalTest() {
    echo.say = [](ServerContext&, const Blob&, Blob&) {
      ADD_FAILURE() << "it was sent";
      return absl::OkStatus();
    };
    server_ = StartServer();
    // B, and C behind it, which is not asked.
    channel_ = ConnectWith({Make(), Refusing(), Make(nullptr, nullptr, "C")});
  }

  void ExpectRefused(const absl::Status& status, const std::string& method) {
    EXPECT_THAT(status, FailsWith(StatusCode::kPermissionDenied, kRefused));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
    EXPECT_THAT(seen_.Take(), ElementsAre("A starts " + method, "B starts " + method,
                                          "A ends " + method + " PERMISSION_DENIED, 0 sent, 0 received"));
  }

  std::shared_ptr<Channel> channel_;
};

TEST_F(ClientInterceptorRefusalTest, ABlockingCallIsNotSent) {
  ResponseMetadata metadata = {.initial = {{"of", "another call"}}};
  Blob reply = MakeBlob("of another call");
  ExpectRefused(Echo::Stub(channel_).Say(MakeBlob("x"), &reply, {.response_metadata = &metadata}), "Say");
  EXPECT_TRUE(reply.data().empty());
  EXPECT_TRUE(metadata.initial.empty());
  ExpectRefused(Notes::Stub(channel_).Note(MakeBlob("x")), "Note");
}

TEST_F(ClientInterceptorRefusalTest, ACallbackRunsElsewhere) {
  std::promise<std::thread::id> ran_on;
  absl::Status status;
  Echo::AsyncStub(channel_).Say(MakeBlob("x"), [&](absl::StatusOr<Blob> reply) {
    status = reply.status();
    ran_on.set_value(std::this_thread::get_id());
  });
  EXPECT_NE(ran_on.get_future().get(), std::this_thread::get_id());
  ExpectRefused(status, "Say");
}

TEST_F(ClientInterceptorRefusalTest, AStreamHasEnded) {
  const Streams::Stub stub(channel_);
  const auto chat = stub.Chat(InTime());
  Blob reply;
  EXPECT_FALSE(chat->Write(MakeBlob("x")));
  EXPECT_FALSE(chat->Read(&reply));
  EXPECT_FALSE(chat->WaitForInitialMetadata());
  ExpectRefused(chat->Finish(), "Chat");
  ExpectRefused(stub.Up()->Finish().status(), "Up");
  ExpectRefused(stub.Down(MakeBlob("1"))->Finish(), "Down");
}

TEST_F(ClientInterceptorRefusalTest, ACoroutinesCallHasEnded) {
  const Streams::CoStub streams(channel_);
  const Echo::CoStub co_echo(channel_);
  const auto talk = [&]() -> Task<absl::Status> {
    auto chat = streams.Chat();
    const Blob element = MakeBlob("x");
    EXPECT_FALSE(co_await chat.Write(element));
    EXPECT_FALSE((co_await chat.Read()).has_value());
    co_return co_await chat.Finish();
  };
  ExpectRefused(SyncWait(talk()), "Chat");
  const auto say = [&]() -> Task<absl::Status> {
    const Blob request = MakeBlob("x");
    const absl::StatusOr<Blob> reply = co_await co_echo.Say(request);
    co_return reply.status();
  };
  ExpectRefused(SyncWait(say()), "Say");
}

// --- one end, however it comes ---

TEST_F(ClientInterceptorTest, ACallThatIsCancelledOrLateEndsOnce) {
  echo.say = [](ServerContext& context, const Blob&, Blob&) {
    Event cancelled;
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    cancelled.Wait();
    return absl::OkStatus();
  };
  server_ = StartServer();
  const Echo::Stub stub(ConnectWith({Make()}));
  EXPECT_FALSE(stub.Say(MakeBlob("x"), {.timeout = absl::Milliseconds(5)}).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", "DEADLINE_EXCEEDED, 1 sent, 0 received"));
  std::stop_source stop;
  auto pending = SayAsync(stub, "x", {.stop_token = stop.get_token()});
  stop.request_stop();
  EXPECT_FALSE(pending.get().ok());
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say", HasSubstr("A ends Say CANCELLED")));
  EXPECT_FALSE(stub.Say(MakeBlob("x"), {.timeout = absl::ZeroDuration()}).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", "DEADLINE_EXCEEDED, 0 sent, 0 received"));
}

TEST_F(ClientInterceptorTest, AStreamThatIsDroppedEndsOnce) {
  ReadOnlyWhenTold();
  may_read.Set();
  server_ = StartServer();
  const Streams::Stub stub(ConnectWith({Make()}));
  auto up = stub.Up(InTime());
  began.Wait();
  EXPECT_TRUE(up->Write(MakeBlob("x")));
  up.reset();
  EXPECT_THAT(seen_.Take(), OneCall("Up", "CANCELLED, 1 sent, 0 received"));
  saw_cancel.Wait();  // and not a half-close: what had come would be taken for all
  auto chat = stub.Chat(InTime());
  EXPECT_TRUE(chat->WritesDone());
  Blob nothing;
  EXPECT_FALSE(chat->Read(&nothing));  // the status has come
  chat.reset();
  EXPECT_THAT(seen_.Take(), OneCall("Chat", "OK, 0 sent, 0 received"));
}

TEST_F(ClientInterceptorTest, ACoroutinesCallThatIsDroppedEndsOnce) {
  ReadOnlyWhenTold();
  may_read.Set();
  server_ = StartServer();
  const auto channel = ConnectWith({Make()});
  { const auto call = Echo::CoStub(channel).Say(MakeBlob("x")); }
  EXPECT_THAT(seen_.Take(), OneCall("Say", "CANCELLED, 1 sent, 0 received"));
  {
    const CallOptions options = InTime();
    const auto up = Streams::CoStub(channel).Up(options);
    began.Wait();
  }
  EXPECT_THAT(seen_.Take(), OneCall("Up", "CANCELLED, 0 sent, 0 received"));
  saw_cancel.Wait();
}

TEST_F(ClientInterceptorTest, ACallWhoseServerGoesEndsOnce) {
  Event in_handler;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    in_handler.Set();
    Event cancelled;
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    cancelled.Wait();
    return absl::OkStatus();
  };
  server_ = StartServer();
  auto channel = ConnectWith({Make()});
  std::promise<absl::Status> said;
  Echo::AsyncStub(channel).Say(MakeBlob("x"), [&](absl::StatusOr<Blob> reply) { said.set_value(reply.status()); });
  in_handler.Wait();
  server_->Shutdown();
  EXPECT_EQ(said.get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "UNAVAILABLE, 1 sent, 0 received"));
  // The next one is made again until there is a connection: one call for who makes it.
  server_->Wait();
  server_.reset();
  echo.say = EchoBack;
  server_ = StartServer();
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", "OK, 1 sent, 1 received"));
}

TEST_F(ClientInterceptorTest, TheEndOfTheChannelEndsItsCalls) {
  Event in_handler;
  echo.say = [&](ServerContext& context, const Blob&, Blob&) {
    in_handler.Set();
    Event cancelled;
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    cancelled.Wait();
    return absl::OkStatus();
  };
  server_ = StartServer();
  auto channel = ConnectWith({Make()});
  std::promise<absl::Status> said;
  Echo::AsyncStub(channel).Say(MakeBlob("x"), [&](absl::StatusOr<Blob> reply) { said.set_value(reply.status()); });
  in_handler.Wait();
  channel.reset();
  EXPECT_EQ(said.get_future().get().code(), StatusCode::kCancelled);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "CANCELLED, 1 sent, 0 received"));
}

// --- what they throw ---

TEST_F(ClientInterceptorTest, OneThatThrowsAtTheStartEndsTheCallWithUnknown) {
  server_ = StartServer();
  const auto throws = [](CallOptions&) -> absl::Status { throw std::runtime_error("secret"); };
  const auto channel = ConnectWith({Make(), Make(throws, nullptr, "B")});
  const absl::Status status = Echo::Stub(channel).Say(MakeBlob("x")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnknown, "an interceptor of nearcall.integration.Echo/Say failed"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say", "B starts Say", "A ends Say UNKNOWN, 0 sent, 0 received"));
  EXPECT_TRUE(Eventually([&] { return log.Has("an interceptor of nearcall.integration.Echo/Say threw"); }));
  EXPECT_FALSE(log.Has("secret"));
}

TEST_F(ClientInterceptorTest, OneThatThrowsAtTheEndChangesNothing) {
  server_ = StartServer();
  const auto throws = [](const CallEnd&) { throw std::runtime_error("secret"); };
  const auto channel = ConnectWith({Make(), Make(nullptr, throws, "B")});
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_EQ(seen_.Take().size(), 4u);
  EXPECT_TRUE(Eventually([&] { return log.Has("threw an exception at the end of the call"); }));
}

// --- what they may do ---

TEST_F(ClientInterceptorTest, MayMakeCalls) {
  server_ = StartServer();
  const auto plain = Connect();
  const Echo::Stub tokens(plain);
  const auto fetch = [&](CallOptions& options) {
    absl::StatusOr<Blob> token = tokens.Say(MakeBlob("fresh"));
    if (!token.ok()) return token.status();
    options.metadata.Add("token", token->data());
    return absl::OkStatus();
  };
  const auto report = [&](const CallEnd&) { EXPECT_TRUE(tokens.Say(MakeBlob("x")).ok()); };
  const auto channel = ConnectWith({Make(fetch, report)});
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", "OK, 1 sent, 1 received"));
}

// Whoever wants to hear of nothing is not told.
TEST_F(ClientInterceptorTest, NeedsNoEnd) {
  class Starts final : public ClientInterceptor {
   public:
    absl::StatusOr<OnCallEnd> Start(const CallInfo&, CallOptions&) override {
      started.Add();
      return nullptr;
    }
    Counter started;
  };
  server_ = StartServer();
  const auto starts = std::make_shared<Starts>();
  const auto channel = ConnectWith({starts, Make()});
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("x")).ok());
  EXPECT_EQ(starts->started.value(), 1u);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "OK, 1 sent, 1 received"));
}

}  // namespace
}  // namespace nearcall::integration
