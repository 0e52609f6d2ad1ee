// SPDX-License-Identifier: Apache-2.0

// search_client [FLAGS] ADDRESS COMMAND ...: asks a search_server. See kUsage.

#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client_commands.h"
#include "stop_signals.h"
#include "watch_command.h"

ABSL_FLAG(absl::Duration, connect_timeout, absl::ZeroDuration(), "how long to wait for the server to appear");
ABSL_FLAG(uint32_t, hits, 0,
          "find, best, watch, bench, load: how many hits to ask for; 0: find, watch: all, others: 10");
ABSL_FLAG(std::string, tree, "", "add, load: send the text files of this directory tree");
ABSL_FLAG(size_t, max_file_mib, 32, "add, load: larger files are refused, or left out of a tree");
ABSL_FLAG(size_t, max_tree_mib, 64, "add, load: how much text to send of a tree");
ABSL_FLAG(size_t, calls, 10000, "bench: calls of each thread");
ABSL_FLAG(size_t, threads, 1, "bench: threads that call at the same time, on one channel");
ABSL_FLAG(absl::Duration, alone, absl::Seconds(1), "load: how long to ask while nothing is sent");
ABSL_FLAG(absl::Duration, beside, absl::Seconds(2), "load: how long to ask while the tree is sent");

namespace {

constexpr char kUsage[] = R"(search_client [FLAGS] ADDRESS COMMAND
ADDRESS is shm:NAME, mq:NAME or pipe:NAME, or NAME alone: the best transport that the server offers.
  find WORD...       the files that hold all the words, each as it is found
  best WORD...       the best of these files, the best one first
  add FILE...        send files to the server's index: all of them, or none if there is an error
  add --tree DIR     send the text files of a directory tree
  watch WORD...      each of the words that stands in a file that somebody adds, from now on; lines of standard input
                     change what is watched: WORD adds one, -WORD removes it
  reindex            have the server read its trees again
  stats              what the index holds
  bench [WORD...]    ask the same question --calls times: latencies and calls per second; without words, for the stats
  load --tree DIR WORD...
                     ask the same question, alone and then while sending the tree again and again, with low priority
SIGINT (Ctrl-C) or SIGTERM cancels the call; the exit code is 128 and the signal's number, 130 for SIGINT.
)";

constexpr int kExitUsage = 2;

absl::Status UsageError(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, "\n", kUsage));
}

search::TreeLimits LimitsFromFlags() {
  return {.max_file_bytes = absl::GetFlag(FLAGS_max_file_mib) << 20,
          .max_total_bytes = absl::GetFlag(FLAGS_max_tree_mib) << 20};
}

search::BenchOptions BenchOptionsFromFlags(const std::stop_token& stop) {
  return {.calls = absl::GetFlag(FLAGS_calls),
          .threads = absl::GetFlag(FLAGS_threads),
          .max_hits = absl::GetFlag(FLAGS_hits),
          .stop_token = stop};
}

search::LoadOptions LoadOptionsFromFlags(const std::stop_token& stop) {
  return {.alone = absl::GetFlag(FLAGS_alone),
          .beside = absl::GetFlag(FLAGS_beside),
          .max_hits = absl::GetFlag(FLAGS_hits),
          .stop_token = stop};
}

// A command line, checked before anything is connected.
struct Command {
  std::string address;
  std::string name;
  std::vector<std::string> arguments;

  static absl::StatusOr<Command> Parse(const std::vector<char*>& words) {
    if (words.size() < 3) return UsageError(words.size() < 2 ? "which address?" : "which command?");
    Command command{words[1], words[2], {words.begin() + 3, words.end()}};
    const bool has_arguments = !command.arguments.empty();
    const bool from_tree = !absl::GetFlag(FLAGS_tree).empty();
    if (command.name == "find" || command.name == "best" || command.name == "watch") {
      if (!has_arguments) return UsageError(absl::StrCat(command.name, " which words?"));
    } else if (command.name == "add") {
      if (has_arguments == from_tree)
        return UsageError(from_tree ? "add takes files or --tree, not both" : "add what?");
    } else if (command.name == "load") {
      if (!has_arguments || !from_tree) return UsageError("load takes the words of a question, and --tree");
    } else if (command.name == "stats" || command.name == "reindex") {
      if (has_arguments) return UsageError(absl::StrCat(command.name, " takes no arguments"));
    } else if (command.name != "bench") {
      return UsageError(absl::StrCat("there is no command '", command.name, "'"));
    }
    return command;
  }

  absl::Status Run(const std::shared_ptr<nearcall::Channel>& channel, const std::stop_token& stop) const {
    const search::v1::Search::Stub stub(channel);
    const nearcall::CallOptions options{.stop_token = stop};
    const std::string query = absl::StrJoin(arguments, " ");
    const size_t hits = absl::GetFlag(FLAGS_hits);
    if (name == "find") return search::PrintHits(stub, query, hits, std::cout, options);
    if (name == "best") return search::PrintBestHits(stub, query, absl::GetFlag(FLAGS_hits), std::cout, options);
    if (name == "watch") return search::PrintWatch(stub, arguments, hits, kTerminal, options);
    if (name == "stats") return search::PrintStats(stub, std::cout, options);
    if (name == "reindex") return search::Reindex(stub, std::cout, options);
    if (name == "bench") return search::Bench(stub, query, BenchOptionsFromFlags(stop), std::cout);
    if (name == "add") return Add(stub, options);
    return search::Load(channel, query, absl::GetFlag(FLAGS_tree), LimitsFromFlags(), LoadOptionsFromFlags(stop),
                        std::cout);
  }

 private:
  static constexpr search::WatchTerminal kTerminal = {
      .changes_fd = STDIN_FILENO, .out = std::cout, .errors = std::cerr};

  absl::Status Add(const search::v1::Search::Stub& stub, const nearcall::CallOptions& options) const {
    const std::string tree = absl::GetFlag(FLAGS_tree);
    const search::TreeLimits limits = LimitsFromFlags();
    absl::StatusOr<search::FileList> files =
        tree.empty() ? search::ListFiles(arguments) : search::ListTextFiles(tree, limits);
    if (!files.ok()) return files.status();
    if (!files->complete) {
      std::cerr << "only the first " << (limits.max_total_bytes >> 20) << " MiB of " << tree << "\n";
    }
    std::ostream* const terminal = ::isatty(STDERR_FILENO) == 1 ? &std::cerr : nullptr;
    return search::AddFiles(stub, *files, limits.max_file_bytes, std::cout, terminal, options);
  }
};

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "search_client: " << status.message() << "\n";
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(kUsage);
  const absl::StatusOr<Command> command = Command::Parse(absl::ParseCommandLine(argc, argv));
  if (!command.ok()) return Fail(command.status(), kExitUsage);

  const auto channel =
      nearcall::Channel::Connect(command->address, {.connect_timeout = absl::GetFlag(FLAGS_connect_timeout)});
  if (!channel.ok()) return Fail(channel.status(), 1);
  const search::StopSignals stop_signals;  // connecting is over: from here on there is a call to cancel
  const absl::Status status = command->Run(*channel, stop_signals.token());
  if (status.ok()) return 0;
  if (absl::IsCancelled(status) && stop_signals.signal() != 0) {
    std::cerr << "search_client: CANCELLED by " << (stop_signals.signal() == SIGINT ? "SIGINT" : "SIGTERM") << "\n";
    return 128 + stop_signals.signal();
  }
  return Fail(status, 1);
}
