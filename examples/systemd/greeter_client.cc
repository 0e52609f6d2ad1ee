// SPDX-License-Identifier: Apache-2.0

// greeter_client ADDRESS: the first one wakes the service.
#include <iostream>

#include "hello.nearcall.pb.h"

int main(int argc, char** argv) {
  auto channel = nearcall::Channel::Connect(argc > 1 ? argv[1] : "shm:/run/greeter");
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  hello::GreetRequest request;
  request.set_name("reader");
  const absl::StatusOr<hello::GreetReply> reply =
      hello::Greeter::Stub(*channel).Greet(request, {.timeout = absl::Seconds(5)});
  if (!reply.ok()) {
    std::cerr << reply.status() << "\n";
    return 1;
  }
  std::cout << reply->text() << "\n";
}
