// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "hello.nearcall.pb.h"
#include "nearcall/event_queue.h"
#include "nearcall/task.h"

// What each of these programs does, whatever its event loop: it serves Greeter, and is greeted, on one thread. All of
// it happens in EventQueue::Run().
class Greetings {
 public:
  // Both outlive it. `done` is called when the last greeting has come.
  Greetings(nearcall::EventQueue& queue, std::function<void()> done);

  // Says what was done. What main() returns.
  int Report() const;

 private:
  class Greeter final : public hello::Greeter::CoService {
    nearcall::Task<absl::Status> Greet(nearcall::ServerContext& context, const hello::GreetRequest& request,
                                       hello::GreetReply& reply) override;
  };

  absl::Status Begin(nearcall::EventQueue& queue);
  nearcall::Task<absl::Status> Talk(hello::Greeter::CoStub stub);
  void End(absl::Status status);

  Greeter greeter_;
  std::unique_ptr<nearcall::Server> server_;
  const std::function<void()> done_;
  std::string heard_;
  absl::Status status_;
};
