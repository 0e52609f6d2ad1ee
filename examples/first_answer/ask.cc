// SPDX-License-Identifier: Apache-2.0

// ask QUESTION NAME1 NAME2: asks two servers at once, and prints the answer that comes first. The other call is
// cancelled, and its server told so. Coroutines: no thread waits for either.
#include <iostream>
#include <stop_token>
#include <string>

#include "first_answer.nearcall.pb.h"
#include "nearcall/task.h"

namespace {

using Answer = absl::StatusOr<first_answer::Answer>;

nearcall::Task<Answer> Ask(first_answer::Oracle::CoStub oracle, const first_answer::Question& question,
                           const nearcall::CallOptions& options) {
  co_return co_await oracle.Ask(question, options);
}

nearcall::Task<Answer> AskBoth(first_answer::Oracle::CoStub one, first_answer::Oracle::CoStub other,
                               const first_answer::Question& question) {
  std::stop_source stop;
  nearcall::CallOptions options;
  options.timeout = absl::Seconds(20);
  options.stop_token = stop.get_token();
  const auto both = co_await nearcall::WhenAny(stop, Ask(std::move(one), question, options),
                                               Ask(std::move(other), question, options));
  co_return both.first == 0 ? std::get<0>(both.results) : std::get<1>(both.results);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: ask QUESTION NAME1 NAME2\n";
    return 2;
  }
  const nearcall::ChannelOptions patient = {.connect_timeout = absl::Seconds(5)};
  const auto one = nearcall::Channel::Connect(argv[2], patient);
  const auto other = nearcall::Channel::Connect(argv[3], patient);
  first_answer::Question question;
  question.set_text(argv[1]);
  absl::Status status = one.ok() ? other.status() : one.status();
  if (status.ok()) {
    const Answer answer =
        nearcall::SyncWait(AskBoth(first_answer::Oracle::CoStub(*one), first_answer::Oracle::CoStub(*other), question));
    if (answer.ok()) std::cout << answer->text() << "\n";
    status = answer.status();
  }
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
