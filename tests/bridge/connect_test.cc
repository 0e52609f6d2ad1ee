// SPDX-License-Identifier: Apache-2.0

// Stubs of ours, which call servers that gRPC's own code makes.
#include <fcntl.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "bridge_fixture.h"
#include "driven_channel.h"
#include "nearcall/bridge/rpc_status.pb.h"
#include "nearcall/event_queue.h"
#include "nearcall/task.h"

namespace nearcall::bridge {
namespace {

using ::testing::HasSubstr;

class ConnectTest : public BridgeTest {
 protected:
  ConnectTest() {
    service.unary = [](::grpc::ServerContext&, const pb::SimpleRequest& request, pb::SimpleResponse& reply) {
      reply.mutable_payload()->set_body(std::string(static_cast<size_t>(request.response_size()), 'x'));
      return ::grpc::Status::OK;
    };
    service.chat = [](::grpc::ServerContext&, GrpcService::Stream& stream) {
      pb::StreamingOutputCallRequest request;
      while (stream.Read(&request)) {
        pb::StreamingOutputCallResponse reply;
        reply.mutable_payload()->set_body(std::string(static_cast<size_t>(request.response_parameters(0).size()), 'x'));
        stream.Write(reply);
      }
      return ::grpc::Status::OK;
    };
    server.emplace(service);
  }

  std::shared_ptr<Channel> Connect(ChannelOptions options = {}) {
    options.log_sink = log.sink();
    return Must(grpc::Connect(server->address(), std::move(options)));
  }
  pb::TestService::Stub Stub() { return pb::TestService::Stub(Connect()); }

  GrpcService service;
  std::optional<GrpcServer> server;
};

TEST_F(ConnectTest, BlockingCalls) {
  const auto channel = Connect();
  EXPECT_EQ(channel->transport(), "grpc");
  EXPECT_EQ(channel->state(), ChannelState::kReady);
  const pb::TestService::Stub stub(channel);
  for (const int32_t size : {0, 1, 314'159, 8 << 20}) {
    const auto reply = stub.UnaryCall(Asking(size));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->payload().body().size(), static_cast<size_t>(size));
  }
}

TEST_F(ConnectTest, CallsWithCallbacks) {
  const pb::TestService::AsyncStub stub(Connect());
  integration::Counter replies;
  for (int i = 0; i < 100; ++i) {
    stub.UnaryCall(Asking(i), [&, i](absl::StatusOr<pb::SimpleResponse> reply) {
      EXPECT_EQ(Must(std::move(reply)).payload().body().size(), static_cast<size_t>(i));
      replies.Add();
    });
  }
  replies.WaitFor(100);
}

Task<absl::Status> PingPong(pb::TestService::CoStub stub) {
  auto chat = stub.FullDuplexCall();
  for (int32_t size = 0; size < 100; ++size) {
    const auto request = AskingOne(size);
    EXPECT_TRUE(co_await chat.Write(request));
    const auto reply = co_await chat.Read();
    EXPECT_TRUE(reply.has_value() && reply->payload().body().size() == static_cast<size_t>(size));
  }
  chat.WritesDone();
  co_return co_await chat.Finish();
}

TEST_F(ConnectTest, CallsOfCoroutines) {
  Must(SyncWait(PingPong(pb::TestService::CoStub(Connect()))));
}

TEST_F(ConnectTest, CallsInAnEventQueue) {
  EventQueue queue;
  bool is_over = false;
  {
    const auto channel = Connect({.event_queue = &queue});
    Start(PingPong(pb::TestService::CoStub(channel)), [&](const absl::Status& status) {
      Must(status);
      is_over = true;
    });
    const absl::Time give_up = absl::Now() + kLong;
    while (!is_over && absl::Now() < give_up) {
      if (queue.Run(100) == 0) std::this_thread::yield();
    }
  }
  EXPECT_TRUE(is_over);
}

TEST_F(ConnectTest, StatusWithDetails) {
  service.unary = [](::grpc::ServerContext&, const auto&, auto&) {
    bridge::RpcStatus details;
    bridge::Detail& detail = *details.add_details();
    detail.set_type_url(std::string(kDetailUrl));
    detail.set_value("bytes");
    return ::grpc::Status(::grpc::DATA_LOSS, "lost\n", details.SerializeAsString());
  };
  absl::Status expected = absl::DataLossError("lost\n");
  expected.SetPayload(kDetailUrl, absl::Cord("bytes"));
  const absl::Status status = Stub().UnaryCall({}).status();
  EXPECT_EQ(status.code(), expected.code());
  EXPECT_EQ(status.message(), expected.message());
  EXPECT_EQ(status.GetPayload(kDetailUrl), expected.GetPayload(kDetailUrl));
}

// Whose server knows nothing of attachments sees fields that it does not know, and may send some.
TEST_F(ConnectTest, AttachmentsAreFieldsForAGrpcServer) {
  static constexpr int kField = 536870911;
  service.unary = [](::grpc::ServerContext&, const pb::SimpleRequest& request, pb::SimpleResponse& reply) {
    const auto& unknown = request.GetReflection()->GetUnknownFields(request);
    auto& answers = *reply.GetReflection()->MutableUnknownFields(&reply);
    for (int i = 0; i < unknown.field_count(); ++i) {
      EXPECT_EQ(unknown.field(i).number(), kField);
      answers.AddLengthDelimited(kField, "about " + unknown.field(i).length_delimited());
    }
    return ::grpc::Status::OK;
  };
  Buffer buffer = Must(Buffer::Allocate(300'000));
  std::memset(buffer.mutable_bytes().data(), 'x', buffer.size());
  std::vector<Buffer> returned;
  Must(Stub().UnaryCall({}, {.attachments = {buffer}, .reply_attachments = &returned}));
  ASSERT_EQ(returned.size(), 1u);
  EXPECT_EQ(returned[0].size(), 6 + buffer.size());
  EXPECT_EQ(std::memcmp(returned[0].bytes().data(), "about xx", 8), 0);
}

TEST_F(ConnectTest, MetadataOfBothSides) {
  service.unary = [](::grpc::ServerContext& context, const auto&, auto&) {
    const auto& sent = context.client_metadata();
    EXPECT_EQ(sent.count("nearcall-wait-for-ready"), 0u);
    const auto text = sent.find("sent")->second;
    const auto bytes = sent.find("sent-bin")->second;
    context.AddInitialMetadata("initial", std::string(text.begin(), text.end()));
    context.AddTrailingMetadata("trailing-bin", std::string(bytes.begin(), bytes.end()));
    return ::grpc::Status::OK;
  };
  ResponseMetadata metadata;
  const std::string bytes("\0\xff", 2);
  const auto reply = Stub().UnaryCall({}, {.metadata = {{"sent", "text"}, {"sent-bin", bytes}, {"grpc-timeout", "1n"}},
                                           .wait_for_ready = true,
                                           .response_metadata = &metadata});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(metadata.initial, (Metadata{{"initial", "text"}}));
  EXPECT_EQ(metadata.trailing, (Metadata{{"trailing-bin", bytes}}));
}

TEST_F(ConnectTest, TheServerKnowsTheDeadline) {
  service.unary = [](::grpc::ServerContext& context, const auto&, auto&) {
    const absl::Duration left = absl::FromChrono(context.deadline()) - absl::Now();
    EXPECT_GT(left, absl::ZeroDuration());
    EXPECT_LE(left, absl::Seconds(1));
    while (!context.IsCancelled()) std::this_thread::yield();
    return ::grpc::Status::OK;
  };
  EXPECT_EQ(Stub().UnaryCall({}, {.timeout = absl::Milliseconds(500)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  server->End();
}

TEST_F(ConnectTest, ACancelReachesTheServer) {
  Event begun;
  Event cancelled;
  service.unary = [&](::grpc::ServerContext& context, const auto&, auto&) {
    begun.Set();
    while (!context.IsCancelled()) std::this_thread::yield();
    cancelled.Set();
    return ::grpc::Status::OK;
  };
  std::stop_source stop;
  const auto stub = Stub();
  std::thread caller([&] {
    EXPECT_EQ(stub.UnaryCall({}, {.stop_token = stop.get_token()}).status().code(), absl::StatusCode::kCancelled);
  });
  begun.Wait();
  stop.request_stop();
  cancelled.Wait();
  caller.join();
}

// While the client still could send, and does not: whoever forwards waits for both.
TEST_F(ConnectTest, AServerMayAnswerBeforeItsClientIsDone) {
  for (const bool says_something_first : {false, true}) {
    service.chat = [&](::grpc::ServerContext&, GrpcService::Stream& stream) {
      if (says_something_first) stream.SendInitialMetadata();
      return ::grpc::Status(::grpc::NOT_FOUND, "enough");
    };
    const auto chat = Stub().FullDuplexCall({.timeout = kLong});
    pb::StreamingOutputCallResponse reply;
    EXPECT_FALSE(chat->Read(&reply));
    EXPECT_EQ(chat->Finish().code(), absl::StatusCode::kNotFound);
  }
}

TEST_F(ConnectTest, ASlowReaderStopsHisWriter) {
  std::atomic<int> written = 0;
  service.chat = [&](::grpc::ServerContext&, GrpcService::Stream& stream) {
    pb::StreamingOutputCallResponse reply;
    reply.mutable_payload()->set_body(std::string(100'000, 'x'));
    while (written < 1000 && stream.Write(reply)) ++written;
    return ::grpc::Status::OK;
  };
  const auto chat = Stub().FullDuplexCall();
  pb::StreamingOutputCallResponse reply;
  ASSERT_TRUE(chat->Read(&reply));
  int before = -1;
  // Until it stands still.
  ASSERT_TRUE(integration::Eventually([&] {
    absl::SleepFor(absl::Milliseconds(100));
    return std::exchange(before, written.load()) == written;
  }));
  EXPECT_LT(written, 500);
  int count = 1;
  while (chat->Read(&reply)) ++count;
  EXPECT_EQ(count, 1000);
  Must(chat->Finish());
}

TEST_F(ConnectTest, WithoutAServer) {
  const std::string address = server->address();
  const auto stub = Stub();
  server->End();
  const auto refused = grpc::Connect(address);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr(address));
  EXPECT_EQ(stub.UnaryCall({}).status().code(), absl::StatusCode::kUnavailable);
  Must(grpc::Connect(address, {.lazy = true}));
}

TEST_F(ConnectTest, AServerThatComesBack) {
  const int port = server->port();
  const auto stub = Stub();
  server->End();
  Event waits;
  std::thread caller([&] {
    waits.Set();
    const auto reply = stub.UnaryCall(Asking(3), {.timeout = kLong, .wait_for_ready = true});
    EXPECT_TRUE(reply.ok()) << reply.status();
  });
  waits.Wait();
  server.emplace(service, port);
  caller.join();
}

TEST_F(ConnectTest, DescriptorsDoNotLeaveTheMachine) {
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const absl::Status status =
      GenericStub(Connect()).Unary("grpc.testing.TestService/UnaryCall", Bytes(), {.descriptors = {&file, 1}}).status();
  ::close(file);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST_F(ConnectTest, AnyOtherAddressIsTheRuntimes) {
  EXPECT_EQ(grpc::Connect("shm:nobody").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(grpc::Connect("grpc:nowhere").status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status hint = Channel::Connect("grpc:localhost:1").status();
  EXPECT_THAT(std::string(hint.message()), HasSubstr("nearcall::grpc::Connect()"));
  EXPECT_EQ(grpc::Connect(server->address(), {.services = {nullptr}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ConnectTest, TheLastStubMayEndInACallback) {
  auto stub = std::make_unique<pb::TestService::AsyncStub>(Connect());
  Event ended;
  auto* const raw = stub.get();
  raw->UnaryCall(Asking(1), [&ended, stub = std::move(stub)](absl::StatusOr<pb::SimpleResponse>) mutable {
    stub = nullptr;
    ended.Set();
  });
  ended.Wait();
}

}  // namespace
}  // namespace nearcall::bridge
