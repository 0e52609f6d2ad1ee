// SPDX-License-Identifier: Apache-2.0

// oracle NAME [ANSWER]: answers questions; without an answer it thinks until nobody wants to know any more.
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "first_answer.nearcall.pb.h"

namespace {

class OracleImpl final : public first_answer::Oracle::Service {
 public:
  explicit OracleImpl(std::string answer) : answer_(std::move(answer)) {}

 private:
  absl::Status Ask(nearcall::ServerContext& context, const first_answer::Question& question,
                   first_answer::Answer& answer) override {
    if (answer_.empty()) return Think(context, question);
    answer.set_text(answer_);
    return absl::OkStatus();
  }

  static absl::Status Think(nearcall::ServerContext& context, const first_answer::Question& question) {
    context.WillBlock();  // whom this thread serves beside need not wait
    while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::cout << "no longer asked: " << question.text() << std::endl;
    return absl::CancelledError("nobody wants to know");
  }

  const std::string answer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: oracle NAME [ANSWER]\n";
    return 2;
  }
  OracleImpl oracle(argc > 2 ? argv[2] : "");
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen(argv[1]).Register(&oracle).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
