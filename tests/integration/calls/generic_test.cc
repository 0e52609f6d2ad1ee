// SPDX-License-Identifier: Apache-2.0

// Calls by a method's name, with bytes: stubs without generated code, and services without.
#include "nearcall/generic.h"

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "driven_server.h"
#include "fixture.h"
#include "one_way.nearcall.pb.h"
#include "raw_peer.h"
#include "suspending_fixture.h"
#include "wire/envelope.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;

constexpr char kSay[] = "nearcall.integration.Echo/Say";
constexpr char kDown[] = "nearcall.integration.Streams/Down";
constexpr char kUp[] = "nearcall.integration.Streams/Up";
constexpr char kChat[] = "nearcall.integration.Streams/Chat";

Bytes Packed(const std::string& data) {
  return Bytes(MakeBlob(data).SerializeAsString());
}

std::string Unpacked(const Bytes& bytes) {
  Blob blob;
  return blob.ParseFromString(bytes.str()) ? blob.data() : absl::StrCat("does not parse: ", bytes.str());
}

// --- the client without generated code ---

class GenericStubTest : public SuspendingTest {
 protected:
  std::unique_ptr<Server> server_ = StartServer();
  std::shared_ptr<Channel> channel_ = Connect();
  GenericStub stub_{channel_};
};

TEST_F(GenericStubTest, CallsMethodsOfEachKind) {
  const absl::StatusOr<Bytes> reply = stub_.Unary(kSay, Packed("hello"), InTime());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Unpacked(*reply), "hello");

  std::string all;
  const auto down = stub_.ServerStreaming(kDown, Packed("3"), InTime());
  for (const Bytes& element : *down) all += Unpacked(element);
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_EQ(all, "012");

  const auto up = stub_.ClientStreaming(kUp, InTime());
  EXPECT_TRUE(up->Write(Packed("ab")));
  EXPECT_TRUE(up->WriteLast(Packed("c")));
  const absl::StatusOr<Bytes> counted = up->Finish();
  ASSERT_TRUE(counted.ok()) << counted.status();
  EXPECT_EQ(Unpacked(*counted), "2 elements, 3 B");

  const auto chat = stub_.BidiStreaming(kChat, InTime());
  Bytes echoed;
  ASSERT_TRUE(chat->Write(Packed("ping")) && chat->Read(&echoed));
  EXPECT_EQ(Unpacked(echoed), "ping");
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(GenericStubTest, ASlashBeforeTheNameIsLeftOut) {
  EXPECT_TRUE(stub_.Unary(absl::StrCat("/", kSay), Packed("hello"), InTime()).ok());
}

TEST_F(GenericStubTest, ByCallback) {
  std::promise<std::string> said;
  GenericAsyncStub(channel_).Unary(kSay, Packed("hello"), [&](absl::StatusOr<Bytes> reply) {
    said.set_value(reply.ok() ? Unpacked(*reply) : reply.status().ToString());
  });
  EXPECT_EQ(said.get_future().get(), "hello");
}

Task<std::string> CallEachKind(GenericCoStub stub) {
  const CallOptions options = InTime();
  const Bytes request = Packed("2");
  std::string all;
  absl::StatusOr<Bytes> reply = co_await stub.Unary(kSay, request, options);
  all += reply.ok() ? Unpacked(*reply) : reply.status().ToString();
  auto down = stub.ServerStreaming(kDown, request, options);
  while (const std::optional<Bytes> element = co_await down.Read()) all += Unpacked(*element);
  auto up = stub.ClientStreaming(kUp, options);
  static_cast<void>(co_await up.WriteLast(request));
  reply = co_await up.Finish();
  all += reply.ok() ? Unpacked(*reply) : reply.status().ToString();
  auto chat = stub.BidiStreaming(kChat, options);
  static_cast<void>(co_await chat.WriteLast(request));
  Bytes echoed;
  if (co_await chat.Read(&echoed)) all += Unpacked(echoed);
  const absl::Status ended = co_await chat.Finish();
  co_return all + ended.ToString();
}

TEST_F(GenericStubTest, ByCoroutine) {
  EXPECT_EQ(SyncWait(CallEachKind(GenericCoStub(channel_))), "2011 elements, 1 B2OK");
}

// The call object of a method that nobody else keeps: what is said of it afterwards has its name still.
TEST_F(GenericStubTest, TheNameLivesAsLongAsItsCall) {
  auto chat = stub_.BidiStreaming(std::string(kChat), {.timeout = absl::Milliseconds(50)});
  Bytes nothing;
  while (chat->Read(&nothing)) continue;
  EXPECT_THAT(chat->Finish(), FailsWith(StatusCode::kDeadlineExceeded, ""));
  const absl::StatusOr<Bytes> unknown = stub_.Unary(std::string("demo.No/Such"), Bytes(), InTime());
  EXPECT_THAT(unknown.status(),
              FailsWith(StatusCode::kUnimplemented, "demo.No/Such is not implemented by this server"));
}

TEST_F(GenericStubTest, AMethodOfAnotherKindIsNotImplemented) {
  EXPECT_THAT(stub_.Unary(kChat, Bytes(), InTime()).status(), FailsWith(StatusCode::kUnimplemented, kChat));
  EXPECT_THAT(stub_.BidiStreaming(kSay, InTime())->Finish(), FailsWith(StatusCode::kUnimplemented, kSay));
}

TEST_F(GenericStubTest, WhatIsNoNameIsNotSent) {
  for (const std::string& name : {std::string(), std::string("demo.Echo"), std::string("demo.Echo/"), std::string("/"),
                                  std::string("demo Echo/Say"), std::string("a/\n"), "a/" + std::string(1023, 'b')}) {
    const absl::Status status = stub_.Unary(name, Bytes()).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kInvalidArgument, "is no method's name")) << name;
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
    EXPECT_EQ(stub_.BidiStreaming(name)->Finish().code(), StatusCode::kInvalidArgument);
  }
}

// A large one goes by pieces, and what is kept for another server is a copy of it.
TEST_F(GenericStubTest, AnyBytesOfAnySize) {
  const std::string large(size_t{300} << 10, '\xff');
  const absl::Status status = stub_.Unary(kSay, Bytes(large), InTime()).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "does not parse as nearcall.integration.Blob"));
  const absl::StatusOr<Bytes> reply = stub_.Unary(kSay, Packed(large), InTime());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Unpacked(*reply), large);
}

// --- the server without ---

// What all of these do, in either style: says which calls have come, and answers with what it was sent.
struct Told {
  base::Mutex mutex;
  std::vector<std::string> calls ABSL_GUARDED_BY(mutex);

  absl::Status Note(const ServerContext& context, CallKind kind) {
    base::MutexLock lock(mutex);
    calls.push_back(absl::StrCat(context.method(), " ", static_cast<int>(kind)));
    return absl::EndsWith(context.method(), "/Nothing") ? absl::AbortedError("no") : absl::OkStatus();
  }
};

class Mirror final : public GenericService {
 public:
  explicit Mirror(Told& told) : told_(told) {}

  absl::Status Call(ServerContext& context, CallKind kind, ServerReaderWriter<Bytes, Bytes>& stream) override {
    if (absl::Status status = told_.Note(context, kind); !status.ok()) return status;
    if (kind == CallKind::kClientStreaming) return Gather(stream);
    for (const Bytes& element : stream) {
      if (element.str() != "silence") stream.Write(element);
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Gather(ServerReaderWriter<Bytes, Bytes>& stream) {
    Bytes all;
    for (const Bytes& element : stream) all.str() += element.str();
    EXPECT_TRUE(stream.Write(all));
    EXPECT_FALSE(stream.Write(all)) << "there is one reply";
    return absl::OkStatus();
  }

  Told& told_;
};

class CoMirror final : public CoGenericService {
 public:
  explicit CoMirror(Told& told) : told_(told) {}

  Task<absl::Status> Call(ServerContext& context, CallKind kind, CoServerReaderWriter<Bytes, Bytes>& stream) override {
    if (absl::Status status = told_.Note(context, kind); !status.ok()) co_return status;
    Bytes all;
    Bytes element;
    while (co_await stream.Read(&element)) {
      if (kind == CallKind::kClientStreaming) {
        all.str() += element.str();
      } else if (element.str() != "silence") {
        static_cast<void>(co_await stream.Write(element));
      }
    }
    if (kind == CallKind::kClientStreaming) static_cast<void>(co_await stream.Write(all));
    co_return absl::OkStatus();
  }

 private:
  Told& told_;
};

Task<bool> PingPong(Streams::CoStub stub, const CallOptions& options) {
  auto chat = stub.Chat(options);
  const Blob ping = MakeBlob("ping");
  if (!co_await chat.Write(ping)) co_return false;
  const std::optional<Blob> pong = co_await chat.Read();
  co_return pong.has_value();
}

template <typename Service>
class AnyServiceTest : public IntegrationTest {
 protected:
  std::unique_ptr<Server> StartAny(ServerOptions options = {}) {
    options.log_sink = log.sink();
    return StartInStyle(std::move(options), [this](ServerOptions styled) {
      return Must(
          ServerBuilder(std::move(styled)).Listen(Address()).Register(&second_).RegisterGeneric(&service_).Start());
    });
  }

  std::vector<std::string> calls() {
    base::MutexLock lock(told_.mutex);
    return told_.calls;
  }

  void AnswersStubsOfEveryKind() {
    const auto server = StartAny();
    const auto channel = Connect();
    EXPECT_EQ(Echo::Stub(channel).Say(MakeBlob("hello"), InTime())->data(), "hello");
    EXPECT_EQ(Second::Stub(channel).Say(MakeBlob("x"), InTime())->data(), "second x") << "has a service of its own";
    const Streams::Stub streams(channel);
    const auto down = streams.Down(MakeBlob("one"), InTime());
    Blob element;
    EXPECT_TRUE(down->Read(&element) && element.data() == "one");
    EXPECT_TRUE(down->Finish().ok());
    const auto up = streams.Up(InTime());
    Blob first;
    first.set_data("ab");
    EXPECT_TRUE(up->Write(first) && up->WriteLast(Blob()));
    EXPECT_EQ(up->Finish()->data(), "ab");
    const auto chat = streams.Chat(InTime());
    EXPECT_TRUE(chat->Write(first) && chat->Read(&element));
    EXPECT_TRUE(chat->Finish().ok());
    EXPECT_TRUE(Notes::Stub(channel).Note(MakeBlob("n"), {.timeout = kLong, .capacity = Capacity::kStarted}).ok());
    EXPECT_TRUE(Eventually([this] { return calls().size() == 5; }));
    EXPECT_THAT(calls(), ElementsAre("nearcall.integration.Echo/Say 0", "nearcall.integration.Streams/Down 2",
                                     "nearcall.integration.Streams/Up 1", "nearcall.integration.Streams/Chat 3",
                                     "nearcall.integration.Notes/Note 4"));
  }

  void TakesAndGivesAnyBytes() {
    const auto server = StartAny();
    const GenericStub stub(Connect());
    for (const std::string& bytes :
         {std::string(), std::string("\xff\0 no protobuf", 14), std::string(100000, '\x80')}) {
      const absl::StatusOr<Bytes> reply = stub.Unary("any.thing/At.all", Bytes(bytes), InTime());
      ASSERT_TRUE(reply.ok()) << reply.status();
      EXPECT_EQ(reply->str(), bytes);
      const auto down = stub.ServerStreaming("any.thing/Else", Bytes(bytes), InTime());
      Bytes element;
      EXPECT_TRUE(down->Read(&element) && element.str() == bytes) << down->Finish();
    }
  }

  void EndsAsItsHandlerSays() {
    const auto server = StartAny();
    const auto channel = Connect();
    EXPECT_THAT(GenericStub(channel).Unary("a.B/Nothing", Bytes(), InTime()).status(),
                FailsWith(StatusCode::kAborted, "no"));
    EXPECT_THAT(GenericStub(channel).Unary("a.B/C", Bytes("silence"), InTime()).status(),
                FailsWith(StatusCode::kInternal, "has written no reply"));
  }

  // Those styles in which a request is made before anybody knows what its server wants.
  void AsynchronousCallsBringTheirNames() {
    const auto server = StartAny();
    for (const bool lazy : {false, true}) {
      const auto channel = Connect({.lazy = lazy});
      std::promise<std::string> said;
      Metadata metadata;
      metadata.Add("key", "value");
      Echo::AsyncStub(channel).Say(
          MakeBlob("hello"),
          [&](absl::StatusOr<Blob> reply) { said.set_value(reply.ok() ? reply->data() : reply.status().ToString()); },
          {.timeout = kLong, .metadata = metadata});
      EXPECT_EQ(said.get_future().get(), "hello");
      const CallOptions options = InTime();
      EXPECT_TRUE(SyncWait(PingPong(Streams::CoStub(channel), options)));
    }
  }

  // Nobody else's name is taken for one.
  void AskedForByItsName() {
    std::vector<std::string> asked;
    const auto server = StartAny({.authorize = [&asked](const PeerIdentity&, absl::string_view method) {
      asked.emplace_back(method);
      return absl::PermissionDeniedError("not you");
    }});
    EXPECT_THAT(GenericStub(Connect()).Unary("a.B/C", Bytes(), InTime()).status(),
                FailsWith(StatusCode::kPermissionDenied, "not you"));
    EXPECT_THAT(asked, ElementsAre("a.B/C"));
    EXPECT_TRUE(calls().empty());
  }

  Told told_;
  SecondService second_;
  Service service_{told_};
};

using GenericServiceTest = AnyServiceTest<Mirror>;
using CoGenericServiceTest = AnyServiceTest<CoMirror>;

TEST_F(GenericServiceTest, AnswersStubsOfEveryKind) {
  AnswersStubsOfEveryKind();
}
TEST_F(CoGenericServiceTest, AnswersStubsOfEveryKind) {
  AnswersStubsOfEveryKind();
}
TEST_F(GenericServiceTest, TakesAndGivesAnyBytes) {
  TakesAndGivesAnyBytes();
}
TEST_F(CoGenericServiceTest, TakesAndGivesAnyBytes) {
  TakesAndGivesAnyBytes();
}
TEST_F(GenericServiceTest, EndsAsItsHandlerSays) {
  EndsAsItsHandlerSays();
}
TEST_F(CoGenericServiceTest, EndsAsItsHandlerSays) {
  EndsAsItsHandlerSays();
}
TEST_F(GenericServiceTest, AsynchronousCallsBringTheirNames) {
  AsynchronousCallsBringTheirNames();
}
TEST_F(CoGenericServiceTest, AsynchronousCallsBringTheirNames) {
  AsynchronousCallsBringTheirNames();
}
TEST_F(GenericServiceTest, AskedForByItsName) {
  AskedForByItsName();
}
TEST_F(CoGenericServiceTest, AskedForByItsName) {
  AskedForByItsName();
}

TEST_F(CoGenericServiceTest, IsAtMostOne) {
  EXPECT_THAT(ServerBuilder().RegisterGeneric(&service_).RegisterGeneric(&service_).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "twice"));
  EXPECT_THAT(ServerBuilder().RegisterGeneric(static_cast<CoGenericService*>(nullptr)).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "null"));
}

TEST_F(CoGenericServiceTest, OneThatWaitsIsNothingForAnEventQueue) {
  EventQueue queue;
  Mirror waits(told_);
  EXPECT_THAT(ServerBuilder({.event_queue = &queue}).RegisterGeneric(&waits).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "event_queue"));
}

// --- clients that are wrong ---

class GenericHostileTest : public CoGenericServiceTest {
 protected:
  // A request with `envelope`, for the method of that name.
  void SendNamed(RawClient& client, const std::string& envelope, const char* method) {
    wire::FrameHeader header = client.Header(wire::FrameKind::kRequest, envelope.size());
    header.method_id = internal::MethodId(method);
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    if (!envelope.empty()) header.flags |= wire::kEnvelope;
    std::vector<std::byte> frame(wire::kHeaderSize + envelope.size());
    wire::EncodeHeader(header, frame);
    std::memcpy(frame.data() + wire::kHeaderSize, envelope.data(), envelope.size());
    client.Send(frame);
  }

  void ExpectThrownOut(const std::string& envelope, const std::string& part) {
    const auto server = StartAny();
    RawClient hostile(Address());
    SendNamed(hostile, envelope, "a.B/C");
    EXPECT_TRUE(hostile.PeerHangsUp());
    EXPECT_TRUE(Eventually([&] { return log.Has(part); })) << part;
    EXPECT_TRUE(GenericStub(Connect()).Unary("a.B/C", Bytes(), InTime()).ok());
    EXPECT_EQ(calls().size(), 1u);
  }
};

TEST_F(GenericHostileTest, AClientThatSendsNoNameIsNotServed) {
  const auto server = StartAny();
  RawClient old(Address());
  SendNamed(old, "", "a.B/C");
  EXPECT_EQ(old.Receive().status, static_cast<int>(StatusCode::kUnimplemented));
  EXPECT_TRUE(calls().empty());
}

TEST_F(GenericHostileTest, ANameThatIsNotThatOfTheNumber) {
  ExpectThrownOut(wire::EncodeMethodName("a.B/D"), "is for the method a.B/D and has the number");
}

TEST_F(GenericHostileTest, ANameThatIsTooLong) {
  ExpectThrownOut(wire::EncodeMethodName("a.B/" + std::string(1021, 'x')), "a method's name of 1025 B");
}

TEST_F(GenericHostileTest, ANameThatWouldWriteToTheLog) {
  ExpectThrownOut(wire::EncodeMethodName("a.B/C\nall is well"), "printable ASCII");
}

TEST_F(GenericHostileTest, AnEnvelopeThatIsNone) {
  ExpectThrownOut("\xff\xff\xff\xff", "that does not parse");
}

}  // namespace
}  // namespace nearcall::integration
