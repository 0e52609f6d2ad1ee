// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>

#include "fixture.h"
#include "interop.grpc.pb.h"
#include "interop_service.h"
#include "nearcall/grpc.h"

// The small language of the tests beside gRPC.
namespace nearcall::bridge {

namespace pb = ::grpc::testing;
using ByGrpc = pb::by_grpc::TestService;
using integration::Event;
using integration::kLong;
using integration::Must;

inline constexpr absl::string_view kDetailUrl = "type.googleapis.com/grpc.testing.Empty";

// Served here: gRPC's cases, and what tests put in their place.
class LocalService final : public pb::TestService::Service {
 public:
  using Request = pb::StreamingOutputCallRequest;
  using Reply = pb::StreamingOutputCallResponse;

  std::function<absl::Status(ServerContext&, const pb::SimpleRequest&, pb::SimpleResponse&)> unary = {};
  std::function<absl::Status(ServerContext&, ServerReader<pb::StreamingInputCallRequest>&)> input = {};
  std::function<absl::Status(ServerContext&, ServerReaderWriter<Request, Reply>&)> chat = {};

  absl::Status EmptyCall(ServerContext& context, const pb::Empty& request, pb::Empty& reply) override {
    return cases_.EmptyCall(context, request, reply);
  }
  absl::Status UnaryCall(ServerContext& context, const pb::SimpleRequest& request, pb::SimpleResponse& reply) override {
    return unary ? unary(context, request, reply) : cases_.UnaryCall(context, request, reply);
  }
  absl::Status StreamingOutputCall(ServerContext& context, const Request& request,
                                   ServerWriter<Reply>& writer) override {
    return cases_.StreamingOutputCall(context, request, writer);
  }
  absl::Status StreamingInputCall(ServerContext& context, ServerReader<pb::StreamingInputCallRequest>& reader,
                                  pb::StreamingInputCallResponse& reply) override {
    return input ? input(context, reader) : cases_.StreamingInputCall(context, reader, reply);
  }
  absl::Status FullDuplexCall(ServerContext& context, ServerReaderWriter<Request, Reply>& stream) override {
    return chat ? chat(context, stream) : cases_.FullDuplexCall(context, stream);
  }

 private:
  interop::InteropService cases_{"here"};
};

// Served by gRPC's own server: what no server of ours would do.
class GrpcService final : public ByGrpc::Service {
 public:
  using Stream = ::grpc::ServerReaderWriter<pb::StreamingOutputCallResponse, pb::StreamingOutputCallRequest>;

  std::function<::grpc::Status(::grpc::ServerContext&, const pb::SimpleRequest&, pb::SimpleResponse&)> unary = {};
  std::function<::grpc::Status(::grpc::ServerContext&, Stream&)> chat = {};

  ::grpc::Status UnaryCall(::grpc::ServerContext* context, const pb::SimpleRequest* request,
                           pb::SimpleResponse* reply) override {
    return unary(*context, *request, *reply);
  }
  ::grpc::Status FullDuplexCall(::grpc::ServerContext* context, Stream* stream) override {
    return chat(*context, *stream);
  }
};

// A server of gRPC's on a port of this host.
class GrpcServer {
 public:
  explicit GrpcServer(GrpcService& service, int port = 0);
  ~GrpcServer() { End(); }

  std::string address() const;
  int port() const { return port_; }
  void End();

 private:
  int port_ = 0;
  std::unique_ptr<::grpc::Server> server_;
};

// A client of gRPC's.
std::shared_ptr<::grpc::Channel> GrpcChannel(int port);

class BridgeTest : public integration::IntegrationTest {
 protected:
  BridgeTest();
  // gRPC ends its threads when nothing of it is there any more.
  ~BridgeTest() override;
};

pb::SimpleRequest Asking(int32_t reply_size);
pb::StreamingOutputCallRequest AskingOne(int32_t reply_size);

}  // namespace nearcall::bridge
