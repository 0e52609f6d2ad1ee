// SPDX-License-Identifier: Apache-2.0
#include "bridge_fixture.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <chrono>

#include "absl/strings/str_cat.h"

namespace nearcall::bridge {

namespace {

// gRPC keeps what its first channel has opened, which is no leak of a test's.
class FirstChannel final : public ::testing::Environment {
  void SetUp() override {
    ::grpc_init();
    GrpcChannel(1)->WaitForConnected(std::chrono::system_clock::now() + std::chrono::milliseconds(10));
    ::grpc_shutdown_blocking();
  }
};

[[maybe_unused]] const auto* const first_channel = ::testing::AddGlobalTestEnvironment(new FirstChannel);

}  // namespace

GrpcServer::GrpcServer(GrpcService& service, int port) {
  ::grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), ::grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(&service);
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

std::string GrpcServer::address() const {
  return absl::StrCat("grpc:127.0.0.1:", port_);
}

void GrpcServer::End() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_ = nullptr;
}

std::shared_ptr<::grpc::Channel> GrpcChannel(int port) {
  ::grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return ::grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), ::grpc::InsecureChannelCredentials(), arguments);
}

BridgeTest::BridgeTest() {
  ::grpc_init();
}

BridgeTest::~BridgeTest() {
  ::grpc_shutdown_blocking();
  // What it has begun to connect may outlive that for a moment.
  EXPECT_TRUE(integration::Eventually([] { return ::grpc_is_initialized() == 0; }));
}

pb::SimpleRequest Asking(int32_t reply_size) {
  pb::SimpleRequest request;
  request.set_response_size(reply_size);
  return request;
}

pb::StreamingOutputCallRequest AskingOne(int32_t reply_size) {
  pb::StreamingOutputCallRequest request;
  request.add_response_parameters()->set_size(reply_size);
  return request;
}

}  // namespace nearcall::bridge
