// SPDX-License-Identifier: Apache-2.0

// ServerOptions::interceptors: what they see of calls of every style and kind, what they change, and that each start
// has one end, however its call ends.
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "co_service.h"
#include "driven_server.h"
#include "grpc/health/v1/health.nearcall.pb.h"
#include "nearcall/generic.h"
#include "recording_interceptors.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::grpc::health::v1::Health;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kFine[] = "OK, 1 sent, 1 received";

// As CountDown, CountUp and ChatBack, whatever is called.
class Relay final : public CoGenericService {
 public:
  Task<absl::Status> Call(ServerContext&, CallKind, CoServerReaderWriter<Bytes, Bytes>& stream) override {
    Bytes element;
    while (co_await stream.Read(&element)) co_await stream.Write(element);
    co_return absl::OkStatus();
  }
};

// Answers later, on a thread of its own.
class AsyncEcho final : public Echo::AsyncService {
 public:
  void Say(ServerContext&, const Blob& request, Blob& reply, Done done) override {
    reply = request;
    late_.push_back(
        std::async(std::launch::async, [done = std::move(done)]() mutable { std::move(done)(absl::OkStatus()); }));
  }
  // Forgets to.
  void MayBlock(ServerContext&, const Blob&, Blob&, Done) override {}

 private:
  std::vector<std::future<void>> late_;
};

class ServerInterceptorTest : public IntegrationTest {
 protected:
  using List = std::vector<std::shared_ptr<ServerInterceptor>>;

  std::shared_ptr<ServerInterceptor> Make(RecordingServer::OnStart on_start = nullptr,
                                          RecordingServer::OnEnd on_end = nullptr, std::string name = "A") {
    return std::make_shared<RecordingServer>(seen_, std::move(name), std::move(on_start), std::move(on_end));
  }

  void Start(List interceptors, std::vector<Service*> services, Service* generic = nullptr) {
    ServerOptions options = {.expected_clients = 48, .log_sink = log.sink(), .interceptors = std::move(interceptors)};
    Start(std::move(options), services, generic);
  }
  void Start(ServerOptions options, const std::vector<Service*>& services, Service* generic = nullptr) {
    server_ = StartInStyle(std::move(options), [&](ServerOptions styled) {
      ServerBuilder builder(std::move(styled));
      builder.Listen(Address());
      for (Service* service : services) builder.Register(service);
      if (generic != nullptr) builder.RegisterGeneric(static_cast<CoGenericService*>(generic));
      return Must(builder.Start());
    });
    channel_ = Connect();
  }

  absl::Status Say(CallOptions options = InTime()) { return Echo::Stub(channel_).Say(MakeBlob("x"), options).status(); }

  // The end is told before the answer leaves; what nobody waits for ends later.
  auto TakeAll(size_t lines) {
    EXPECT_TRUE(Eventually([&] { return seen_.size() >= lines; }));
    return seen_.Take();
  }
  static auto OneCall(const std::string& method, const std::string& end) {
    return ElementsAre("A starts " + method, "A ends " + method + " " + end);
  }

  void TryStreams() {
    const Streams::Stub stub(channel_);
    const auto down = stub.Down(MakeBlob("3"), InTime());
    EXPECT_TRUE(down->Finish().ok());
    EXPECT_THAT(seen_.Take(), OneCall("Down", "OK, 3 sent, 1 received"));
    const auto up = stub.Up(InTime());
    EXPECT_TRUE(up->Write(MakeBlob("a")) && up->WriteLast(MakeBlob("b")));
    EXPECT_TRUE(up->Finish().ok());
    EXPECT_THAT(seen_.Take(), OneCall("Up", "OK, 1 sent, 2 received"));
    const auto chat = stub.Chat(InTime());
    Blob reply;
    EXPECT_TRUE(chat->Write(MakeBlob("a")) && chat->Read(&reply) && chat->Write(MakeBlob("b")));
    EXPECT_TRUE(chat->Finish().ok());
    EXPECT_THAT(seen_.Take(), OneCall("Chat", "OK, 2 sent, 2 received"));
  }

  // A Say() whose handler waits until nobody waits for it.
  void SayUntilCancelled() {
    echo.say = [this](ServerContext& context, const Blob&, Blob&) {
      began_.Set();
      Event cancelled;
      const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
      cancelled.Wait();
      return absl::OkStatus();
    };
  }

  AsyncEcho async_;
  StreamService streams_;
  CoEchoService co_echo_;
  CoStreamService co_streams_;
  CoNotesService notes_;
  Relay relay_;
  Event began_;
  Seen seen_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<Channel> channel_;
};

// What waits for its client, or for somebody else: not in a server with an event queue.
class ServerInterceptorThreadTest : public ServerInterceptorTest {};

// --- what is seen ---

TEST_F(ServerInterceptorTest, SeesCallsOfEveryStyle) {
  for (Service* service : std::vector<Service*>{&echo, &async_, &co_echo_}) {
    Start({Make()}, {service});
    EXPECT_TRUE(Say().ok());
    EXPECT_THAT(seen_.Take(), OneCall("Say", kFine));
    channel_.reset();
    server_.reset();
  }
}

TEST_F(ServerInterceptorThreadTest, SeesStreamsOfEveryKind) {
  Start({Make()}, {&streams_});
  TryStreams();
}

TEST_F(ServerInterceptorTest, SeesStreamsOfCoroutines) {
  Start({Make()}, {&co_streams_});
  TryStreams();
}

TEST_F(ServerInterceptorTest, SeesGenericAndStandardServices) {
  Start({Make()}, {}, &relay_);
  EXPECT_TRUE(Say().ok());
  EXPECT_THAT(seen_.Take(), OneCall("Say", kFine));
  const auto chat = Streams::Stub(channel_).Chat(InTime());
  EXPECT_TRUE(chat->WriteLast(MakeBlob("a")));
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_THAT(seen_.Take(), OneCall("Chat", kFine));
  const Health::Stub health(channel_);
  EXPECT_TRUE(health.Check({}, InTime()).ok());
  EXPECT_THAT(seen_.Take(), OneCall("Check", kFine));
  const auto watch = health.Watch({}, InTime());
  ::grpc::health::v1::HealthCheckResponse state;
  EXPECT_TRUE(watch->Read(&state));
  watch->Cancel();
  EXPECT_THAT(TakeAll(2), OneCall("Watch", kFine));
}

TEST_F(ServerInterceptorTest, SeesHowOneWayCallsEnd) {
  notes_.note = [](const Blob&) -> Task<absl::Status> { co_return absl::InternalError("nobody hears of it"); };
  CallKind kind{};
  Start({Make(nullptr, [&](const CallEnd& end) { kind = end.call.kind; })}, {&notes_});
  EXPECT_TRUE(Notes::Stub(channel_).Note(MakeBlob("x"), InTime()).ok());
  EXPECT_THAT(TakeAll(2), OneCall("Note", "INTERNAL, 0 sent, 1 received"));
  channel_.reset();
  server_.reset();
  EXPECT_EQ(kind, CallKind::kOneWay);
}

TEST_F(ServerInterceptorTest, SeesWhoCallsAndAddsMetadata) {
  const auto on_start = [](ServerContext& context) {
    EXPECT_EQ(context.client_metadata().Get("who"), "anna");
    EXPECT_EQ(context.method(), "nearcall.integration.Echo/Say");
    context.initial_metadata().Add("first", "1");
    return absl::OkStatus();
  };
  // An interceptor of whole calls keeps the context of each.
  class Timing final : public ServerInterceptor {
   public:
    absl::StatusOr<OnCallEnd> Start(const CallInfo&, ServerContext& context) override {
      return [&context](const CallEnd& end) {
        EXPECT_EQ(end.initial_metadata.Get("first"), "1");
        EXPECT_GT(end.duration, absl::ZeroDuration());
        context.trailing_metadata().Add("code", absl::StatusCodeToString(end.status.code()));
      };
    }
  };
  Start({std::make_shared<Timing>(), Make(on_start)}, {&co_echo_});
  ResponseMetadata metadata;
  EXPECT_TRUE(Say({.metadata = {{"who", "anna"}}, .response_metadata = &metadata}).ok());
  EXPECT_EQ(metadata.initial.Get("first"), "1");
  EXPECT_EQ(metadata.trailing.Get("code"), "OK");
}

// Not what the handler has answered, but what its caller gets.
TEST_F(ServerInterceptorTest, SeesWhatTheCallerGets) {
  echo.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply.set_data(std::string(2000, 'x'));
    return request.data().empty() ? absl::OkStatus() : absl::NotFoundError(request.data());
  };
  Start({.max_message_size = 1000, .expected_clients = 48, .interceptors = {Make()}}, {&echo});
  const Echo::Stub stub(channel_);
  EXPECT_EQ(stub.Say(MakeBlob(""), InTime()).status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "RESOURCE_EXHAUSTED, 0 sent, 1 received"));
  EXPECT_EQ(stub.Say(MakeBlob("x"), InTime()).status().code(), StatusCode::kNotFound);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "NOT_FOUND, 0 sent, 1 received"));
}

TEST_F(ServerInterceptorTest, TheFirstIsTheOutermost) {
  Start({Make(), Make(nullptr, nullptr, "B")}, {&co_echo_});
  EXPECT_TRUE(Say().ok());
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say", "B starts Say", "B ends Say OK, 1 sent, 1 received",
                                        "A ends Say OK, 1 sent, 1 received"));
}

// --- refused ---

TEST_F(ServerInterceptorTest, OneThatRefusesKeepsTheCallFromItsHandler) {
  echo.say = [](ServerContext&, const Blob&, Blob&) {
    ADD_FAILURE() << "it ran";
    return absl::OkStatus();
  };
  const auto refuse = [](ServerContext&) { return absl::PermissionDeniedError("ask Anna"); };
  Start({Make(), Make(refuse, nullptr, "B"), Make(nullptr, nullptr, "C")}, {&echo, &co_streams_});
  const absl::Status status = Say();
  EXPECT_THAT(status, FailsWith(StatusCode::kPermissionDenied, "ask Anna"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  EXPECT_THAT(seen_.Take(),
              ElementsAre("A starts Say", "B starts Say", "A ends Say PERMISSION_DENIED, 0 sent, 1 received"));
  const auto chat = Streams::Stub(channel_).Chat(InTime());
  EXPECT_THAT(chat->Finish(), FailsWith(StatusCode::kPermissionDenied, "ask Anna"));
  EXPECT_THAT(seen_.Take(),
              ElementsAre("A starts Chat", "B starts Chat", "A ends Chat PERMISSION_DENIED, 0 sent, 0 received"));
}

// Which a channel would take for the end of the server, and call again at once.
TEST_F(ServerInterceptorTest, UnavailableIsNotSaidToBeHarmlessToRepeat) {
  Start({Make([](ServerContext&) { return absl::UnavailableError("later"); })}, {&co_echo_});
  const absl::Status status = Say();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, "later"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say"));
}

TEST_F(ServerInterceptorTest, SeesWhatAuthorizeRefuses) {
  const auto authorize = [](const PeerIdentity&, absl::string_view) { return absl::PermissionDeniedError("no"); };
  Start({.expected_clients = 48, .authorize = authorize, .interceptors = {Make()}}, {&co_echo_});
  EXPECT_EQ(Say().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "PERMISSION_DENIED, 0 sent, 1 received"));
}

TEST_F(ServerInterceptorTest, SeesNothingOfWhatNobodyServes) {
  Start({Make()}, {&co_echo_});
  EXPECT_EQ(Streams::Stub(channel_).Chat(InTime())->Finish().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(seen_.Take(), IsEmpty());
}

// --- one end, however it comes ---

TEST_F(ServerInterceptorTest, AHandlerThatThrowsEndsOnce) {
  echo.say = [](ServerContext&, const Blob&, Blob&) -> absl::Status { throw std::runtime_error("secret"); };
  Start({Make()}, {&echo});
  EXPECT_EQ(Say().code(), StatusCode::kUnknown);
  EXPECT_THAT(seen_.Take(), OneCall("Say", "UNKNOWN, 0 sent, 1 received"));
}

TEST_F(ServerInterceptorTest, ACallThatIsDroppedUnansweredEndsOnce) {
  Start({Make()}, {&async_});
  EXPECT_EQ(Echo::Stub(channel_).MayBlock(MakeBlob("x"), InTime()).status().code(), StatusCode::kInternal);
  EXPECT_THAT(seen_.Take(), OneCall("MayBlock", "INTERNAL, 0 sent, 1 received"));
}

TEST_F(ServerInterceptorThreadTest, ACallWhoseClientGoesEndsOnce) {
  SayUntilCancelled();
  bool cancelled = false;
  class Watching final : public ServerInterceptor {
   public:
    explicit Watching(bool& cancelled) : cancelled_(cancelled) {}
    absl::StatusOr<OnCallEnd> Start(const CallInfo&, ServerContext& context) override {
      return [this, &context](const CallEnd&) { cancelled_ = context.IsCancelled(); };
    }

   private:
    bool& cancelled_;
  };
  Start({Make(), std::make_shared<Watching>(cancelled)}, {&echo});
  auto call = std::make_unique<UnaryCall<Blob>>(Echo::CoStub(channel_).Say(MakeBlob("x")));
  began_.Wait();
  call.reset();
  channel_.reset();
  EXPECT_THAT(TakeAll(2), OneCall("Say", kFine));
  server_.reset();
  EXPECT_TRUE(cancelled);
}

// --- what they throw ---

TEST_F(ServerInterceptorTest, OneThatThrowsAtTheStartEndsTheCallWithUnknown) {
  const auto throws = [](ServerContext&) -> absl::Status { throw std::runtime_error("secret"); };
  Start({Make(), Make(throws, nullptr, "B")}, {&co_echo_});
  EXPECT_THAT(Say(), FailsWith(StatusCode::kUnknown, "an interceptor of nearcall.integration.Echo/Say failed"));
  EXPECT_THAT(seen_.Take(), ElementsAre("A starts Say", "B starts Say", "A ends Say UNKNOWN, 0 sent, 1 received"));
  EXPECT_TRUE(Eventually([&] { return log.Has("an interceptor of nearcall.integration.Echo/Say threw"); }));
  EXPECT_FALSE(log.Has("secret"));
}

TEST_F(ServerInterceptorTest, OneThatThrowsAtTheEndChangesNothing) {
  const auto throws = [](const CallEnd&) { throw std::runtime_error("secret"); };
  Start({Make(), Make(nullptr, throws, "B")}, {&co_echo_});
  EXPECT_TRUE(Say().ok());
  EXPECT_EQ(seen_.Take().size(), 4u);
  EXPECT_TRUE(Eventually([&] { return log.Has("threw an exception at the end of the call"); }));
}

}  // namespace
}  // namespace nearcall::integration
