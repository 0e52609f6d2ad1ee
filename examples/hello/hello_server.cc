// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "hello.nearcall.pb.h"

class GreeterImpl final : public hello::Greeter::Service {
  absl::Status Greet(nearcall::ServerContext& context, const hello::GreetRequest& request,
                     hello::GreetReply& reply) override {
    if (request.name().empty()) return absl::InvalidArgumentError("a greeting needs a name");
    reply.set_text("Hello, " + request.name() + ", process " + std::to_string(context.peer().pid) + "!");
    return absl::OkStatus();
  }
};

int main() {
  GreeterImpl greeter;
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen("shm:hello").Register(&greeter).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();  // until SIGINT or SIGTERM
}
