// SPDX-License-Identifier: Apache-2.0

// search_server [FLAGS] ADDRESS [TREE...]: indexes directory trees of text files and answers searches in them, and in
// what clients add.

#include <unistd.h>

#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "library.h"
#include "service.h"

ABSL_FLAG(size_t, max_file_kib, 1024, "larger files are left out");
ABSL_FLAG(size_t, max_tree_mib, 32, "how much text to read of one tree");
ABSL_FLAG(size_t, max_index_mib, 512, "how much text to hold, with the files that clients add");
ABSL_FLAG(absl::Duration, grace, absl::Seconds(1), "at the end (SIGINT, SIGTERM): how long calls may go on");
ABSL_FLAG(std::vector<std::string>, skip, {"build"}, "names of directories to leave out; hidden ones always are");

namespace {

constexpr char kUsage[] = R"(search_server [FLAGS] ADDRESS [TREE...]
Searches in directory trees of text files, such as /usr/include, and in the files that clients add.
ADDRESS is shm:NAME, mq:NAME or pipe:NAME, or NAME alone: each of these transports, the client chooses.
)";

constexpr int kExitUsage = 2;

search::TreeLimits LimitsFromFlags() {
  return {.max_file_bytes = absl::GetFlag(FLAGS_max_file_kib) << 10,
          .max_total_bytes = absl::GetFlag(FLAGS_max_tree_mib) << 20,
          .skipped_directories = absl::GetFlag(FLAGS_skip)};
}

// Reads the trees for the first time, with a line of progress if somebody watches.
absl::Status ReadTrees(search::Library& library, const search::Index& index) {
  const bool on_terminal = ::isatty(STDERR_FILENO) == 1;
  const absl::Time start = absl::Now();
  absl::Time next_line = start;
  const auto show = [&](absl::string_view path) {
    if (on_terminal && absl::Now() >= next_line) {
      std::cerr << "\r\x1b[Kindexing " << path << std::flush;
      next_line = absl::Now() + absl::Milliseconds(100);
    }
    return true;
  };
  const auto reading = library.Read(show);
  if (on_terminal) std::cerr << "\r\x1b[K";
  if (!reading.ok()) return reading.status();
  if (reading->indexed == 0) return absl::NotFoundError("there is no text file in any of the trees");
  const search::Index::Stats stats = index.GetStats();
  std::cerr << absl::StrFormat("indexed %d files, %d lines, %.1f MiB in %.1f s (%d files left out)\n", stats.files,
                               stats.lines, static_cast<double>(stats.text_bytes) / (1 << 20),
                               absl::ToDoubleSeconds(absl::Now() - start), reading->skipped);
  if (!reading->incomplete_trees.empty()) {
    std::cerr << "only the first " << absl::GetFlag(FLAGS_max_tree_mib) << " MiB of "
              << absl::StrJoin(reading->incomplete_trees, ", ") << " (see --max_tree_mib)\n";
  }
  return absl::OkStatus();
}

absl::Status Serve(const std::string& address, std::vector<std::string> trees) {
  const bool has_trees = !trees.empty();
  search::Index index(absl::GetFlag(FLAGS_max_index_mib) << 20);
  search::Library library(std::move(trees), LimitsFromFlags(), index);
  if (has_trees) {
    if (absl::Status status = ReadTrees(library, index); !status.ok()) return status;
  }

  search::SearchService service(index, library);
  // A watch would go on for ever: after the grace its client gets UNAVAILABLE, and its handler is cancelled.
  auto server = nearcall::ServerBuilder({.handle_signals = true, .signal_grace = absl::GetFlag(FLAGS_grace)})
                    .Listen(address)
                    .Register(&service)
                    .Start();
  if (!server.ok()) return server.status();
  std::cerr << "serving " << address << "\n";
  (*server)->Wait();
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(kUsage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  if (arguments.size() < 2) {
    std::cerr << "search_server: which address?\n" << kUsage;
    return kExitUsage;
  }
  const absl::Status status = Serve(arguments[1], {arguments.begin() + 2, arguments.end()});
  if (!status.ok()) {
    std::cerr << "search_server: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
