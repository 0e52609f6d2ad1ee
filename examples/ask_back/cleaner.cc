// SPDX-License-Identifier: Apache-2.0

// A server that asks its client back: "Remove a.txt?" (It only counts; nothing is removed.)
#include <iostream>

#include "ask_back.nearcall.pb.h"

class CleanerImpl final : public ask_back::Cleaner::Service {
  absl::Status Remove(nearcall::ServerContext& context, const ask_back::Order& order,
                      ask_back::Report& report) override {
    const ask_back::Person::Stub person(context.client());
    for (const std::string& file : order.files()) {
      ask_back::Question question;
      question.set_text("Remove " + file + "?");
      // In what is left of the caller's time, and cancelled when that gives up.
      auto answer = person.Confirm(question, nearcall::CallOptions::FromServer(context));
      if (!answer.ok()) return answer.status();
      if (answer->yes()) report.set_removed(report.removed() + 1);
    }
    return absl::OkStatus();
  }
};

int main() {
  CleanerImpl cleaner;
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen("cleaner").Register(&cleaner).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
