// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "bench/contender.h"
#include "bench/entrants.h"
#include "bench/sections.h"
#include "support/process.h"

namespace nearcall::bench {

namespace {

namespace fs = std::filesystem;

constexpr char kStrace[] = "/usr/bin/strace";
constexpr auto kAttachPatience = std::chrono::seconds(5);

bool IsTraced(pid_t pid) {
  std::error_code ignored;
  for (const auto& thread : fs::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ignored)) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (absl::StartsWith(line, "TracerPid:") && absl::EndsWith(line, "\t0")) return false;
    }
  }
  return true;
}

// strace(1), counting the system calls of two processes while this lives.
class Strace {
 public:
  Strace(pid_t one, pid_t other)
      : file_(fs::path(std::getenv("NEARCALL_DIR")) / "strace"),
        process_(kStrace, {"-f", "-c", "-qq", "-U", "calls,name", "-o", file_, "-p", absl::StrCat(one), "-p",
                           absl::StrCat(other)}) {
    const auto end = std::chrono::steady_clock::now() + kAttachPatience;
    while (!(attached_ = IsTraced(one) && IsTraced(other)) && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // All calls so far; nothing if it could not attach. Lets go of the processes.
  std::optional<double> Count() {
    ::kill(process_.pid(), SIGINT);
    process_.End();
    if (!attached_) return std::nullopt;
    std::ifstream file(file_);
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      double calls = 0;
      if (words.size() >= 2 && words.back() == "total" && absl::SimpleAtod(words[0], &calls)) return calls;
    }
    return 0;
  }

 private:
  const std::string file_;
  testing::Process process_;
  bool attached_ = false;
};

void Count(Contender& contender, int in_flight, const Plan& plan, Journal& journal) {
  Strace strace(contender.client(), contender.server());
  const Outcome outcome = contender.Run({.duration_ns = 10 * plan.batch_ns, .in_flight = in_flight});
  const std::optional<double> count = strace.Count();
  if (!count) return;
  Series values;
  values.Add(*count / outcome.calls());
  journal.Add({.section = "syscalls",
               .name = absl::StrCat(contender.name(), ", ", in_flight == 0 ? "blocking" : absl::StrCat(in_flight)),
               .unit = absl::StrFormat("for each call (%.0f of %.0f)", *count, outcome.calls()),
               .values = values});
}

}  // namespace

void MeasureSyscalls(const Plan& plan, Journal& journal) {
  absl::PrintF("\nSystem calls of client and server, counted by strace, which makes each of them slow\n");
  if (::access(kStrace, X_OK) != 0) {
    absl::PrintF("  there is no %s\n", kStrace);
    return;
  }
  Contenders contenders;
  AddTransports(contenders, Unpinned());
  AddGrpc(contenders, Unpinned());
  for (const int in_flight : {0, 16, 64, 1000}) {
    for (Contender& contender : contenders) Count(contender, in_flight, plan, journal);
  }
}

}  // namespace nearcall::bench
