// SPDX-License-Identifier: Apache-2.0

// A service at a gRPC port, and its stub beyond it, by the installed nearcall::grpc.
#include <iostream>

#include "absl/strings/str_cat.h"
#include "echo.nearcall.pb.h"
#include "nearcall/grpc.h"

class EchoImpl final : public demo::Echo::Service {
  absl::Status Say(nearcall::ServerContext&, const demo::Request& request, demo::Reply& reply) override {
    reply.set_text(request.text());
    return absl::OkStatus();
  }
};

int main() {
  EchoImpl echo;
  const auto server = nearcall::ServerBuilder().Register(&echo).Start();
  if (!server.ok()) return 1;
  const auto port = nearcall::grpc::Port::Open(**server, "grpc:localhost:0");
  if (!port.ok()) {
    std::cerr << port.status() << "\n";
    return 1;
  }
  const auto channel = nearcall::grpc::Connect(absl::StrCat("grpc:localhost:", (*port)->number()));
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  demo::Request request;
  request.set_text("hello");
  const auto reply = demo::Echo::Stub(*channel).Say(request);
  std::cout << (reply.ok() ? reply->text() : reply.status().ToString()) << "\n";
}
