// SPDX-License-Identifier: Apache-2.0
#include "torture/executioner.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/syscall.h"

namespace nearcall::integration {

namespace {

constexpr unsigned kPatienceSeconds = 60;  // of a victim and of the executioner, should the test die
constexpr base::SteadyNs kPhaseWithin = 2'000'000'000;
constexpr double kLongestDelayNs = 3e6;

Stage* NewStage() {
  void* memory = ::mmap(nullptr, sizeof(Stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap");
  return new (memory) Stage;
}

int64_t Number(absl::string_view text) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) throw std::runtime_error(absl::StrCat("no number: ", text));
  return number;
}

// Without sleeping: a timer would round the moment to its own ticks.
void SpinUntil(base::SteadyNs when) {
  while (base::NowNs() < when) ::sched_yield();
}

// As many short delays as long ones: most of what happens is short.
base::SteadyNs RandomDelay(std::mt19937& random) {
  const double magnitude = std::uniform_real_distribution<double>(0, 1)(random);
  return static_cast<base::SteadyNs>(kLongestDelayNs * magnitude * magnitude * magnitude);
}

}  // namespace

Executioner::Executioner(Victim victim)
    : stage_(NewStage()), process_(std::make_unique<Child>([this, &victim](Link& parent) { Serve(parent, victim); })) {}

Executioner::~Executioner() {
  process_->link().Close();
  process_->Join();
  ::munmap(stage_, sizeof(Stage));
}

Executioner::Death Executioner::KillOne(std::mt19937& random) {
  const auto wanted = std::uniform_int_distribution<uint32_t>(0, kPhases - 1)(random);
  const base::SteadyNs ordered = base::NowNs();
  process_->link().Tell(absl::StrCat(wanted, " ", RandomDelay(random), " ", random()));
  const std::vector<std::string> answer = absl::StrSplit(process_->link().Await(), ' ');
  if (answer.size() != 3) {
    throw std::runtime_error(absl::StrCat("no answer of the executioner for ", (base::NowNs() - ordered) / 1'000'000,
                                          " ms to: kill in phase ", wanted, "; now it is ",
                                          static_cast<uint32_t>(stage_->phase.load())));
  }
  return {.at = Number(answer[0]), .phase = static_cast<Phase>(Number(answer[1])), .by_us = answer[2] == "1"};
}

void Executioner::Serve(Link& parent, const Victim& victim) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (std::string order = parent.Await(); !order.empty(); order = parent.Await()) {
    ::alarm(kPatienceSeconds);
    const std::vector<std::string> parts = absl::StrSplit(order, ' ');
    const Death death =
        Kill(victim, static_cast<Phase>(Number(parts[0])), Number(parts[1]), static_cast<unsigned>(Number(parts[2])));
    parent.Tell(absl::StrCat(death.at, " ", static_cast<uint32_t>(death.phase), " ", death.by_us ? 1 : 0));
  }
}

Executioner::Death Executioner::Kill(const Victim& victim, Phase wanted, base::SteadyNs delay, unsigned seed) {
  stage_->phase = Phase::kBorn;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(kPatienceSeconds);
    std::mt19937 random(seed);
    victim(*stage_, random);
    ::_exit(1);
  }
  const base::SteadyNs end = base::AddNs(base::NowNs(), kPhaseWithin);
  while (wanted != Phase::kBorn && stage_->phase != wanted && base::NowNs() < end) ::sched_yield();
  SpinUntil(base::AddNs(base::NowNs(), delay));
  Death death{.at = base::NowNs()};
  ::kill(pid, SIGKILL);
  int status = 0;
  base::Retry([&] { return ::waitpid(pid, &status, 0); });
  death.phase = stage_->phase;
  death.by_us = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  return death;
}

void PhaseCounts::Print(absl::string_view what, const std::array<absl::string_view, kPhases>& names) const {
  absl::PrintF("[ measured ] %s:", what);
  for (size_t i = 0; i < kPhases; ++i) absl::PrintF("%s %d %s", i == 0 ? "" : ",", counts_[i], names[i]);
  absl::PrintF("\n");
}

}  // namespace nearcall::integration
