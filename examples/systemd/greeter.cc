// SPDX-License-Identifier: Apache-2.0

// A service that systemd starts when its first client connects: see greeter.socket and greeter.service.
#include <iostream>

#include "hello.nearcall.pb.h"

class GreeterImpl final : public hello::Greeter::Service {
  absl::Status Greet(nearcall::ServerContext& /*context*/, const hello::GreetRequest& request,
                     hello::GreetReply& reply) override {
    reply.set_text("Hello, " + request.name() + "!");
    return absl::OkStatus();
  }
};

int main() {
  GreeterImpl greeter;
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen("systemd:greeter").Register(&greeter).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();  // until systemd sends SIGTERM
}
