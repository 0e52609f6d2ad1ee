// SPDX-License-Identifier: Apache-2.0

// Services of ours, called by clients that gRPC's own code makes.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/cord.h"
#include "bridge_fixture.h"
#include "descriptors.nearcall.pb.h"
#include "file_service.h"
#include "nearcall/bridge/rpc_status.pb.h"
#include "one_way.nearcall.pb.h"
#include "picture_service.h"

namespace nearcall::bridge {
namespace {

using ::testing::HasSubstr;

class PortTest : public BridgeTest {
 protected:
  void SetUp() override { Open({}); }

  // All of `local`, and of `others`.
  void Open(grpc::PortOptions options, std::vector<Service*> others = {}) {
    Close();
    ServerBuilder builder({.log_sink = log.sink()});
    builder.Register(&local);
    for (Service* other : others) builder.Register(other);
    options.services = std::move(others);
    server = Must(builder.Start());
    port = Must(grpc::Port::Open(*server, "grpc:127.0.0.1:0", std::move(options)));
    channel = GrpcChannel(port->number());
    stub = ByGrpc::NewStub(channel);
  }

  void Close() {
    stub = nullptr;
    channel = nullptr;
    port = nullptr;
    server = nullptr;
  }

  void TearDown() override { Close(); }

  ::grpc::Status Call(const pb::SimpleRequest& request, ::grpc::ClientContext& context) {
    pb::SimpleResponse reply;
    return stub->UnaryCall(&context, request, &reply);
  }
  ::grpc::Status Call(const pb::SimpleRequest& request = {}) {
    ::grpc::ClientContext context;
    return Call(request, context);
  }

  LocalService local;
  std::unique_ptr<Server> server;
  std::unique_ptr<grpc::Port> port;
  std::shared_ptr<::grpc::Channel> channel;
  std::unique_ptr<ByGrpc::Stub> stub;
};

TEST_F(PortTest, UnaryCallsOfAnySize) {
  for (const int32_t size : {0, 1, 314'159, 8 << 20}) {
    ::grpc::ClientContext context;
    pb::SimpleRequest request = Asking(size);
    request.mutable_payload()->set_body(std::string(static_cast<size_t>(size), 'x'));
    pb::SimpleResponse reply;
    const ::grpc::Status status = stub->UnaryCall(&context, request, &reply);
    // gRPC's client takes 4 MiB, unless it says otherwise.
    if (size > 4 << 20) {
      EXPECT_EQ(status.error_code(), ::grpc::RESOURCE_EXHAUSTED) << status.error_message();
    } else {
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(reply.payload().body().size(), static_cast<size_t>(size));
    }
  }
}

TEST_F(PortTest, StreamsInEachDirection) {
  {
    ::grpc::ClientContext context;
    pb::StreamingOutputCallRequest request = AskingOne(7);
    request.add_response_parameters()->set_size(70'000);
    const auto reader = stub->StreamingOutputCall(&context, request);
    pb::StreamingOutputCallResponse reply;
    ASSERT_TRUE(reader->Read(&reply));
    EXPECT_EQ(reply.payload().body().size(), 7u);
    ASSERT_TRUE(reader->Read(&reply));
    EXPECT_EQ(reply.payload().body().size(), 70'000u);
    EXPECT_FALSE(reader->Read(&reply));
    EXPECT_TRUE(reader->Finish().ok());
  }
  ::grpc::ClientContext context;
  pb::StreamingInputCallResponse sum;
  const auto writer = stub->StreamingInputCall(&context, &sum);
  for (int i = 0; i < 100; ++i) {
    pb::StreamingInputCallRequest request;
    request.mutable_payload()->set_body(std::string(10'000, 'x'));
    ASSERT_TRUE(writer->Write(request));
  }
  EXPECT_TRUE(writer->WritesDone());
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(sum.aggregated_payload_size(), 1'000'000);
}

TEST_F(PortTest, PingPong) {
  ::grpc::ClientContext context;
  const auto chat = stub->FullDuplexCall(&context);
  pb::StreamingOutputCallResponse reply;
  for (int32_t size = 0; size < 1000; ++size) {
    ASSERT_TRUE(chat->Write(AskingOne(size)));
    ASSERT_TRUE(chat->Read(&reply));
    ASSERT_EQ(reply.payload().body().size(), static_cast<size_t>(size));
  }
  EXPECT_TRUE(chat->WritesDone());
  EXPECT_FALSE(chat->Read(&reply));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(PortTest, StatusWithDetails) {
  local.unary = [](ServerContext&, const auto&, auto&) {
    absl::Status status = absl::FailedPreconditionError("not yet: \u263a\n");
    status.SetPayload(kDetailUrl, absl::Cord("bytes"));
    return status;
  };
  const ::grpc::Status status = Call();
  EXPECT_EQ(status.error_code(), ::grpc::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "not yet: \u263a\n");
  bridge::RpcStatus details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), kDetailUrl);
  EXPECT_EQ(details.details(0).value(), "bytes");
}

TEST_F(PortTest, MetadataOfBothSides) {
  local.unary = [](ServerContext& context, const auto&, auto&) {
    context.initial_metadata().Add("initial", std::string(*context.client_metadata().Get("sent")));
    context.trailing_metadata().Add("trailing-bin", std::string(*context.client_metadata().Get("sent-bin")));
    context.trailing_metadata().Add("peer", *context.client_metadata().Get("nearcall-peer"));
    return absl::AbortedError("with metadata");
  };
  ::grpc::ClientContext context;
  context.AddMetadata("sent", "text");
  context.AddMetadata("sent-bin", std::string("\0\xff", 2));
  context.AddMetadata("nearcall-peer", "forged");
  EXPECT_EQ(Call({}, context).error_code(), ::grpc::ABORTED);
  const auto& trailing = context.GetServerTrailingMetadata();
  EXPECT_EQ(trailing.find("trailing-bin")->second, ::grpc::string_ref("\0\xff", 2));
  const ::grpc::string_ref peer = trailing.find("peer")->second;
  EXPECT_THAT(std::string(peer.begin(), peer.end()), HasSubstr("127.0.0.1"));
}

TEST_F(PortTest, InitialMetadataComeBeforeElements) {
  Event go;
  local.chat = [&](ServerContext& context, auto&) {
    context.initial_metadata().Add("early", "1");
    context.SendInitialMetadata();
    go.Wait();
    return absl::OkStatus();
  };
  ::grpc::ClientContext context;
  const auto chat = stub->FullDuplexCall(&context);
  chat->WaitForInitialMetadata();
  EXPECT_EQ(context.GetServerInitialMetadata().count("early"), 1u);
  go.Set();
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(PortTest, TheHandlerKnowsTheDeadline) {
  absl::Time seen = absl::InfinitePast();
  local.unary = [&](ServerContext& context, const auto&, auto&) {
    seen = context.deadline();
    Event never;
    while (!context.IsCancelled()) std::this_thread::yield();
    return absl::OkStatus();
  };
  ::grpc::ClientContext context;
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  context.set_deadline(absl::ToChronoTime(deadline));
  EXPECT_EQ(Call({}, context).error_code(), ::grpc::DEADLINE_EXCEEDED);
  port->Close(kLong);
  EXPECT_LT(absl::AbsDuration(seen - deadline), absl::Milliseconds(190));
}

TEST_F(PortTest, ACancelReachesTheHandler) {
  Event begun;
  Event cancelled;
  local.chat = [&](ServerContext& context, auto& stream) {
    begun.Set();
    LocalService::Request request;
    while (stream.Read(&request)) continue;
    if (context.IsCancelled()) cancelled.Set();
    return absl::OkStatus();
  };
  ::grpc::ClientContext context;
  const auto chat = stub->FullDuplexCall(&context);
  ASSERT_TRUE(chat->Write(AskingOne(1)));
  begun.Wait();
  context.TryCancel();
  cancelled.Wait();
  EXPECT_EQ(chat->Finish().error_code(), ::grpc::CANCELLED);
}

// Or a handler would take what a client that was cut off has sent for all of it.
TEST_F(PortTest, ACancelIsNoHalfClose) {
  integration::Counter ended;
  std::atomic<int> taken_for_whole = 0;
  std::atomic<bool> has_begun = false;
  local.input = [&](ServerContext& context, ServerReader<pb::StreamingInputCallRequest>& reader) {
    for (const auto& request : reader) static_cast<void>(request), has_begun = true;
    if (!context.IsCancelled()) ++taken_for_whole;
    ended.Add();
    return absl::OkStatus();
  };
  constexpr size_t kCalls = 300;
  for (size_t i = 0; i < kCalls; ++i) {
    has_begun = false;
    ::grpc::ClientContext context;
    pb::StreamingInputCallResponse reply;
    const auto writer = stub->StreamingInputCall(&context, &reply);
    ASSERT_TRUE(writer->Write({}));
    while (!has_begun) std::this_thread::yield();
    context.TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }
  ended.WaitFor(kCalls);
  EXPECT_EQ(taken_for_whole, 0);
}

TEST_F(PortTest, AServerMayAnswerBeforeItsClientIsDone) {
  local.chat = [](ServerContext&, auto&) { return absl::NotFoundError("enough"); };
  local.input = [](ServerContext&, auto&) { return absl::NotFoundError("enough"); };
  {
    ::grpc::ClientContext context;
    const auto chat = stub->FullDuplexCall(&context);
    pb::StreamingOutputCallResponse reply;
    EXPECT_FALSE(chat->Read(&reply));
    EXPECT_EQ(chat->Finish().error_code(), ::grpc::NOT_FOUND);
  }
  ::grpc::ClientContext context;
  pb::StreamingInputCallResponse reply;
  const auto writer = stub->StreamingInputCall(&context, &reply);
  EXPECT_EQ(writer->Finish().error_code(), ::grpc::NOT_FOUND);
  EXPECT_TRUE(integration::Eventually([&] { return port->calls() == 0; }));
}

TEST_F(PortTest, WhatThereIsNotIsUnimplemented) {
  ::grpc::ClientContext context;
  pb::Empty reply;
  EXPECT_EQ(stub->UnimplementedCall(&context, pb::Empty(), &reply).error_code(), ::grpc::UNIMPLEMENTED);
  ::grpc::ClientContext other;
  const auto unknown = pb::by_grpc::UnimplementedService::NewStub(channel);
  EXPECT_EQ(unknown->UnimplementedCall(&other, pb::Empty(), &reply).error_code(), ::grpc::UNIMPLEMENTED);
}

TEST_F(PortTest, CallsAreBounded) {
  Open({.max_calls = 2});
  Event go;
  integration::Counter begun;
  local.chat = [&](ServerContext&, auto&) {
    begun.Add();
    go.Wait();
    return absl::OkStatus();
  };
  ::grpc::ClientContext contexts[2];
  std::unique_ptr<::grpc::ClientReaderWriter<LocalService::Request, LocalService::Reply>> chats[2];
  for (int i = 0; i < 2; ++i) chats[i] = stub->FullDuplexCall(&contexts[i]);
  begun.WaitFor(2);
  EXPECT_EQ(port->calls(), 2u);
  // Of another client: of this one it would wait.
  const auto other_channel = GrpcChannel(port->number());
  const auto other = ByGrpc::NewStub(other_channel);
  ::grpc::ClientContext context;
  pb::SimpleResponse reply;
  const ::grpc::Status refused = other->UnaryCall(&context, pb::SimpleRequest(), &reply);
  EXPECT_EQ(refused.error_code(), ::grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("2 calls under way"));
  go.Set();
  for (auto& chat : chats) EXPECT_TRUE(chat->Finish().ok());
  EXPECT_TRUE(integration::Eventually([&] { return port->calls() == 0; }));
  EXPECT_TRUE(Call().ok());
}

TEST_F(PortTest, AMessageThatIsTooLargeEndsItsCallOnly) {
  Open({.max_message_size = 100'000});
  pb::SimpleRequest request;
  request.mutable_payload()->set_body(std::string(100'001, 'x'));
  EXPECT_EQ(Call(request).error_code(), ::grpc::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Call().ok());
}

class NoteService final : public integration::Notes::Service {
 public:
  absl::Status Note(ServerContext&, const integration::Blob& request) override {
    noted = request.data();
    has_noted.Set();
    return absl::OkStatus();
  }
  std::string noted;
  Event has_noted;
};

// Without gRPC's code: any name, any bytes.
absl::StatusOr<integration::Blob> CallByName(const grpc::Port& port, absl::string_view method,
                                             const std::string& data) {
  const auto remote = Must(grpc::Connect(absl::StrCat("grpc:127.0.0.1:", port.number())));
  const auto reply = GenericStub(remote).Unary(method, Bytes(integration::MakeBlob(data).SerializeAsString()));
  if (!reply.ok()) return reply.status();
  integration::Blob blob;
  EXPECT_TRUE(blob.ParseFromString(reply->str()));
  return blob;
}

TEST_F(PortTest, AOneWayCallHasAnEmptyReply) {
  NoteService notes;
  Open({}, {&notes});
  EXPECT_EQ(Must(CallByName(*port, "nearcall.integration.Notes/Note", "hello")).ByteSizeLong(), 0u);
  notes.has_noted.Wait();
  EXPECT_EQ(notes.noted, "hello");
  Close();
}

TEST_F(PortTest, DescriptorsDoNotLeaveTheMachine) {
  integration::FileService files;
  files.swap = [](ServerContext& context, const auto&, auto&) {
    context.reply_descriptors().push_back(integration::FileOf("text"));
    return absl::OkStatus();
  };
  Open({}, {&files});
  const auto reply = CallByName(*port, "nearcall.integration.Files/Swap", "");
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("cannot leave this machine"));
  Close();
}

// Here as memory or copies, in between as bytes, in calls of each kind.
TEST_F(PortTest, AttachmentsTravelAsBytes) {
  using integration::MakeBlob;
  using integration::Picture;
  using integration::TextsOf;
  integration::PictureService pictures;
  Open({}, {&pictures});
  {
    const integration::Pictures::Stub there(Must(grpc::Connect(absl::StrCat("grpc:127.0.0.1:", port->number()))));
    const std::vector<Buffer> sent = {Picture(integration::kLarge, 1), Buffer(), Picture(integration::kSmall, 2)};
    std::vector<Buffer> returned;
    const auto reply = there.Invert(MakeBlob("x"), {.attachments = sent, .reply_attachments = &returned});
    EXPECT_EQ(Must(reply).data(), "1:307200|nothing|2:1000");
    EXPECT_EQ(TextsOf(returned), "101:307200|nothing|102:1000");

    const auto up = there.Up();
    up->Attach(Picture(integration::kLarge, 8));
    EXPECT_TRUE(up->WriteLast(MakeBlob("some")));
    EXPECT_EQ(Must(up->Finish()).data(), "some=8:307200;");

    const auto down = there.Down(MakeBlob("3:1000,4:400000"));
    std::string all;
    for (integration::Blob blob; down->Read(&blob);) {
      absl::StrAppend(&all, blob.data(), "=", TextsOf(down->attachments()), ";");
    }
    EXPECT_EQ(all, "3:1000=3:1000;4:400000=4:400000;");
    Must(down->Finish());

    const auto chat = there.Chat();
    for (size_t i = 0; i < 10; ++i) {
      if (i % 2 == 0) chat->Attach(Picture(integration::kLarge, i));
      ASSERT_TRUE(chat->Write(MakeBlob("element")));
      integration::Blob blob;
      ASSERT_TRUE(chat->Read(&blob));
      EXPECT_EQ(blob.data(), "element");
      EXPECT_EQ(TextsOf(chat->attachments()), i % 2 == 0 ? absl::StrCat(i + 100, ":307200") : "");
    }
    Must(chat->Finish());
  }
  Close();
}

TEST_F(PortTest, APortThatIsTaken) {
  const auto second = grpc::Port::Open(*server, absl::StrCat("grpc:127.0.0.1:", port->number()));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another program has the port"));
}

TEST_F(PortTest, WithoutReflectionADescriptorSetIsNeeded) {
  Close();
  server = Must(ServerBuilder({.log_sink = log.sink(), .reflection = false}).Register(&local).Start());
  port = Must(grpc::Port::Open(*server, "grpc:127.0.0.1:0"));
  stub = ByGrpc::NewStub(GrpcChannel(port->number()));
  const ::grpc::Status status = Call();
  EXPECT_EQ(status.error_code(), ::grpc::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("no reflection"));

  google::protobuf::FileDescriptorSet files;
  pb::Empty::descriptor()->file()->CopyTo(files.add_file());
  std::vector<grpc::Route> routes;
  routes.push_back({.channel = Must(server->InProcessChannel()), .descriptor_set = files.SerializeAsString()});
  port = Must(grpc::Port::Open(std::move(routes), "grpc:127.0.0.1:0"));
  stub = ByGrpc::NewStub(GrpcChannel(port->number()));
  EXPECT_TRUE(Call().ok());
}

TEST_F(PortTest, CloseLetsCallsFinish) {
  Event begun;
  Event go;
  local.unary = [&](ServerContext&, const auto&, auto&) {
    begun.Set();
    go.Wait();
    return absl::OkStatus();
  };
  ::grpc::Status status;
  std::thread caller([&] { status = Call(); });
  begun.Wait();
  std::thread closing([&] { port->Close(kLong); });
  go.Set();
  closing.join();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(PortTest, CloseEndsWhatDoesNot) {
  Event started, cancelled;
  local.chat = [&](ServerContext& context, auto& stream) {
    LocalService::Request request;
    while (stream.Read(&request)) started.Set();
    if (context.IsCancelled()) cancelled.Set();
    return absl::OkStatus();
  };
  ::grpc::ClientContext context;
  const auto chat = stub->FullDuplexCall(&context);
  ASSERT_TRUE(chat->Write(AskingOne(1)));
  started.Wait();
  EXPECT_EQ(port->calls(), 1u);
  port->Close();
  EXPECT_EQ(port->calls(), 0u);
  cancelled.Wait();
  EXPECT_FALSE(chat->Finish().ok());
}

TEST_F(PortTest, TheServerBehindMayEndFirst) {
  EXPECT_TRUE(Call().ok());
  server->Shutdown(kLong);
  server->Wait();
  EXPECT_EQ(Call().error_code(), ::grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace nearcall::bridge
