// SPDX-License-Identifier: Apache-2.0
#include "greetings.h"

#include <filesystem>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>

namespace {

constexpr char kAddress[] = "shm:event-loop";

auto CountThreads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

}  // namespace

nearcall::Task<absl::Status> Greetings::Greeter::Greet(nearcall::ServerContext& /*context*/,
                                                       const hello::GreetRequest& request, hello::GreetReply& reply) {
  reply.set_text("Hello, " + request.name() + "!");
  co_return absl::OkStatus();
}

Greetings::Greetings(nearcall::EventQueue& queue, std::function<void()> done) : done_(std::move(done)) {
  if (absl::Status begun = Begin(queue); !begun.ok()) End(std::move(begun));
}

absl::Status Greetings::Begin(nearcall::EventQueue& queue) {
  auto server = nearcall::ServerBuilder({.event_queue = &queue}).Listen(kAddress).Register(&greeter_).Start();
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  auto channel = nearcall::Channel::Connect(kAddress, {.event_queue = &queue});
  if (!channel.ok()) return channel.status();
  nearcall::Start(Talk(hello::Greeter::CoStub(*std::move(channel))),
                  [this](absl::Status status) { End(std::move(status)); });
  return absl::OkStatus();
}

nearcall::Task<absl::Status> Greetings::Talk(hello::Greeter::CoStub stub) {
  hello::GreetRequest request;
  for (const char* const name : {"reader", "writer", "loop"}) {
    request.set_name(name);
    const absl::StatusOr<hello::GreetReply> reply = co_await stub.Greet(request);
    if (!reply.ok()) co_return reply.status();
    heard_ += reply->text() + "\n";
  }
  heard_ += "Threads: " + std::to_string(CountThreads()) + "\n";
  co_return absl::OkStatus();
}

void Greetings::End(absl::Status status) {
  status_ = std::move(status);
  done_();
}

int Greetings::Report() const {
  if (!status_.ok()) {
    std::cerr << status_ << "\n";
    return 1;
  }
  std::cout << heard_;
  return 0;
}
