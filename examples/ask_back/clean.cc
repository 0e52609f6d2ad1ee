// SPDX-License-Identifier: Apache-2.0

// clean FILE...: has the cleaner remove files, and answers its questions from standard input.
#include <iostream>

#include "ask_back.nearcall.pb.h"

class PersonImpl final : public ask_back::Person::Service {
  // One question at a time: the server waits for each answer. (Not on main()'s thread.)
  absl::Status Confirm(nearcall::ServerContext&, const ask_back::Question& question,
                       ask_back::Answer& answer) override {
    std::cout << question.text() << "\n";
    std::string line;
    if (!std::getline(std::cin, line)) return absl::CancelledError("nobody answers");
    answer.set_yes(line == "y");
    return absl::OkStatus();
  }
};

int main(int argc, char** argv) {
  PersonImpl person;
  auto channel = nearcall::Channel::Connect("cleaner", {.connect_timeout = absl::Seconds(5), .services = {&person}});
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  ask_back::Order order;
  for (int i = 1; i < argc; ++i) order.add_files(argv[i]);
  auto report = ask_back::Cleaner::Stub(*channel).Remove(order);
  if (!report.ok()) {
    std::cerr << report.status() << "\n";
    return 1;
  }
  std::cout << report->removed() << " removed\n";
}
