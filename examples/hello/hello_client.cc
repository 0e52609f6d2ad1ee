// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "hello.nearcall.pb.h"

int main(int argc, char** argv) {
  auto channel = nearcall::Channel::Connect("shm:hello", {.connect_timeout = absl::Seconds(5)});
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  hello::Greeter::Stub greeter(*channel);

  hello::GreetRequest request;
  request.set_name(argc > 1 ? argv[1] : "world");
  absl::StatusOr<hello::GreetReply> reply = greeter.Greet(request, {.timeout = absl::Seconds(1)});
  if (!reply.ok()) {
    std::cerr << reply.status() << "\n";
    return 1;
  }
  std::cout << reply->text() << "\n";
}
