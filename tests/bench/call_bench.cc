// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/conditions.h"
#include "bench/guard.h"
#include "bench/outputs.h"
#include "bench/sections.h"
#include "bench/subject.h"
#include "bench/targets.h"
#include "bench/worker.h"

ABSL_FLAG(bool, full, false, "measure for up to fifteen minutes instead of two");
ABSL_FLAG(std::vector<std::string>, rows, {}, "the rows of the table of targets to measure for; none: all");
ABSL_FLAG(std::vector<std::string>, sections, {}, "what to measure, by its name; none: all that the rows want");
ABSL_FLAG(bool, guard, false, "only look, for some seconds, whether anything got slower by a factor");
ABSL_FLAG(bool, strict, false, "fail if a target is missed, or could not be measured");
ABSL_FLAG(std::string, json, "", "the file to write everything to");
ABSL_FLAG(std::string, picture_data, "", "the directory to write the picture's curves to");

namespace nearcall::bench {
namespace {

constexpr int kMissed = 1;
constexpr int kNoResult = 3;

void PrintMachine() {
  utsname name{};
  ::uname(&name);
  absl::PrintF("Linux %s, %d CPUs; %s gRPC\n", name.release, std::thread::hardware_concurrency(),
               HasGrpc() ? "beside" : "WITHOUT");
  const Placement apart = Placements().front();
  if (apart.name != "apart") return;
  absl::PrintF("apart: CPU %d and %d%s\n", apart.client_cpu, apart.server_cpu,
               ShareACore(apart.client_cpu, apart.server_cpu) ? ", THREADS OF ONE CORE" : "");
}

// Each connection takes descriptors, and there are up to thousands.
void RaiseDescriptorLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// A directory for the servers' names. It goes when this process ends by itself.
void MakeNameDirectory() {
  static std::string path = (std::filesystem::temp_directory_path() / "call_bench_XXXXXX").string();
  static const pid_t owner = ::getpid();
  if (::mkdtemp(path.data()) == nullptr) Die("no temporary directory");
  ::setenv("NEARCALL_DIR", path.c_str(), 1);
  std::atexit([] {
    std::error_code ignored;
    if (::getpid() == owner) std::filesystem::remove_all(path, ignored);
  });
}

bool IsMeasured(int row) {
  return std::any_of(Sections().begin(), Sections().end(), [row](const Section& section) {
    return std::find(section.rows.begin(), section.rows.end(), row) != section.rows.end();
  });
}

std::set<int> RowsFromFlags() {
  std::set<int> rows;
  for (const std::string& text : absl::GetFlag(FLAGS_rows)) {
    int row = 0;
    if (!absl::SimpleAtoi(text, &row) || !IsMeasured(row)) Die(absl::StrCat("there is no row ", text));
    rows.insert(row);
  }
  return rows;
}

std::vector<Section> SectionsFor(const std::set<int>& rows) {
  const std::vector<std::string> names = absl::GetFlag(FLAGS_sections);
  std::vector<Section> chosen;
  for (const Section& section : Sections()) {
    const bool named = std::find(names.begin(), names.end(), section.name) != names.end();
    const bool for_a_row = rows.empty() || std::any_of(section.rows.begin(), section.rows.end(),
                                                       [&](int row) { return rows.contains(row); });
    if (names.empty() ? for_a_row : named) chosen.push_back(section);
  }
  if (chosen.size() < names.size()) Die("there is no such section");
  return chosen;
}

// All, if neither rows nor sections are named.
std::set<int> RowsToJudge(const std::set<int>& rows, const std::vector<Section>& sections) {
  if (!rows.empty() || sections.size() == Sections().size()) return rows;
  std::set<int> measured;
  for (const Section& section : sections) measured.insert(section.rows.begin(), section.rows.end());
  return measured;
}

int Measure() {
  const Plan& plan = absl::GetFlag(FLAGS_full) ? kFull : kQuick;
  const std::set<int> chosen_rows = RowsFromFlags();
  const std::vector<Section> sections = SectionsFor(chosen_rows);
  const std::set<int> rows = RowsToJudge(chosen_rows, sections);
  PrintMachine();
  Journal journal;
  Conditions conditions;
  for (const Section& section : sections) {
    section.measure(plan, journal);
    conditions.Probe();
  }
  absl::PrintF("\n");
  conditions.End();
  const std::vector<Target> targets = Judge(journal, conditions.near(), rows);
  Print(targets);
  const std::vector<std::string> objections = conditions.Objections();
  WriteOutputs({.json = absl::GetFlag(FLAGS_json), .picture_data = absl::GetFlag(FLAGS_picture_data)}, plan, journal,
               targets, conditions);
  absl::PrintF("\n");
  for (const std::string& objection : objections) absl::PrintF("NOT A RESULT: %s\n", objection);
  std::fflush(stdout);
  if (!objections.empty()) return kNoResult;
  const bool missed = std::any_of(targets.begin(), targets.end(), [](const Target& target) {
    return target.state() == Target::State::kMissed || target.state() == Target::State::kNotMeasured;
  });
  return absl::GetFlag(FLAGS_strict) && missed ? kMissed : 0;
}

}  // namespace
}  // namespace nearcall::bench

int main(int argc, char** argv) {
  using namespace nearcall::bench;
  absl::SetProgramUsageMessage(
      "What a call costs, beside the machine's own limits and beside gRPC in the same run, against the targets.\n"
      "Ends with 0: a result; 1: something failed, or with --strict a target was missed or not measured; 3: others "
      "used the machine, so that nothing that it says is a result.");
  absl::ParseCommandLine(argc, argv);
  RaiseDescriptorLimit();
  MakeNameDirectory();
  return absl::GetFlag(FLAGS_guard) ? RunGuard() : Measure();
}
