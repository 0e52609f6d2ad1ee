// SPDX-License-Identifier: Apache-2.0
#include "rules.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "classes.h"
#include "functions.h"

namespace nearcall::tidy {

namespace {

constexpr size_t kMaxFileLines = 600;
constexpr size_t kMaxFunctionLines = 70;
constexpr size_t kMaxMethods = 25;
constexpr size_t kMaxLineCharacters = 120;
constexpr size_t kMaxReadmeProgramLines = 40;
constexpr absl::string_view kLicence = "SPDX-License-Identifier: Apache-2.0";

// Bad examples are written down here, so these rules cannot hold for themselves.
constexpr char kOwnFolder[] = "tests/tidy/";

std::string Problem(const SourceFile& file, size_t line, absl::string_view what) {
  return absl::StrCat(file.path, ":", line, ": ", what);
}

bool IsWrittenForMachines(const SourceFile& file) {
  return file.IsCpp() || file.HasExtension(".proto") || file.HasExtension(".cmake") || file.HasExtension(".sh") ||
         file.HasExtension(".py") || file.HasExtension("CMakeLists.txt") || file.path == "dev" ||
         file.path == ".ci/run";
}

// Characters, not bytes.
size_t Width(absl::string_view line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

const std::map<std::string, std::set<std::string>>& FloorsBelow() {
  static const std::map<std::string, std::set<std::string>> floors = {
      {"base", {}},
      {"wire", {"base"}},
      {"transport", {"base"}},
      {"session", {"base", "wire", "transport"}},
      {"rpc", {"base", "wire", "transport", "session"}},
  };
  return floors;
}

// "base" of "runtime/src/base/fd.h"; empty for a file that is on no floor.
std::string FloorOf(const SourceFile& file) {
  const std::vector<std::string> parts = absl::StrSplit(file.path, '/');
  return file.IsUnder("runtime/src/") && parts.size() > 3 ? parts[2] : "";
}

bool MayInclude(const SourceFile& file, const std::string& floor) {
  if (file.IsUnder("tests/")) return true;
  const std::string own = FloorOf(file);
  const auto below = FloorsBelow().find(own);
  return own == floor || (below != FloorsBelow().end() && below->second.contains(floor));
}

struct BannedWord {
  std::regex pattern;
  const char* instead;
};

// Everywhere, comments included.
const std::vector<BannedWord>& BannedNotes() {
  static const std::vector<BannedWord> notes = {
      {std::regex(R"(\b(TODO|FIXME|XXX|HACK)\b)"), "do it, or write an issue"},
  };
  return notes;
}

// In code only: a comment may say why something is not used.
const std::vector<BannedWord>& BannedCalls() {
  static const std::vector<BannedWord> calls = {
      {std::regex(R"(\bsem_timedwait\b)"), "it counts on the wall clock; sem_clockwait"},
      {std::regex(R"(\bCLOCK_REALTIME\b)"), "the wall clock jumps; CLOCK_MONOTONIC"},
      {std::regex(R"(\bshm_(open|unlink)\b)"), "names in /dev/shm outlive us; memfd_create"},
      {std::regex(R"(\batomic_thread_fence\b)"), "ThreadSanitizer cannot see fences; a seq_cst operation"},
      {std::regex(R"(\bsun_path\[0\]\s*=\s*(0|' *'|'\\0'))"),
       "everybody can take an abstract name; a socket in a directory"},
      {std::regex(R"(\babsl::(Mutex|CondVar|Notification|BlockingCounter)\b)"),
       "ThreadSanitizer cannot see the distribution's build of it; base/mutex.h or the standard library"},
      {std::regex(R"(\b(PTHREAD_PROCESS_SHARED|pthread_mutexattr_setpshared|FUTEX_LOCK_PI\w*)\b)"),
       "who dies holds it for good; words with one writer each"},
      {std::regex(R"(\b(SIGALRM|setitimer|usleep)\b)"), "events with a deadline"},
  };
  return calls;
}

// Where memory that a peer can write may be near.
const std::vector<BannedWord>& BannedInTheRuntime() {
  static const std::vector<BannedWord> calls = {
      {std::regex(R"(\b(sem_t|sem_(init|post|wait|trywait|clockwait))\b)"),
       "it lets its memory choose the operation of the kernel; base/semaphore.h"},
  };
  return calls;
}

void FindBanned(const SourceFile& file, absl::string_view text, const std::vector<BannedWord>& words,
                Problems& problems) {
  size_t number = 0;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    ++number;
    for (const BannedWord& word : words) {
      std::smatch match;
      if (std::regex_search(line, match, word.pattern)) {
        problems.push_back(Problem(file, number, absl::StrCat("'", match.str(), "': ", word.instead)));
      }
    }
  }
}

const SourceFile* Find(const std::vector<SourceFile>& files, const std::string& path) {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const SourceFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

// Client and server meet in the session only, and in what both need of rpc.
bool IsInOtherRoom(const SourceFile& file, const std::string& included) {
  return (file.IsUnder("runtime/src/rpc/client/") && included.starts_with("rpc/server/")) ||
         (file.IsUnder("runtime/src/rpc/server/") && included.starts_with("rpc/client/"));
}

}  // namespace

Problems IncludesGoDown(const SourceFile& file) {
  Problems problems;
  if (!file.IsCpp()) return problems;
  static const std::regex include(R"(^\s*#\s*include\s+\"(([^/\"]+)/[^\"]*)\")");
  size_t number = 0;
  for (const std::string& line : file.Lines()) {
    ++number;
    std::smatch match;
    if (!std::regex_search(line, match, include)) continue;
    const std::string top = match[2];
    if (FloorsBelow().contains(top) && !MayInclude(file, top)) {
      problems.push_back(Problem(file, number, absl::StrCat(match[1].str(), " is not below this file")));
    }
    if (IsInOtherRoom(file, match[1].str())) {
      problems.push_back(Problem(file, number, absl::StrCat(match[1].str(), " is of the other end")));
    }
    const bool public_header = file.IsUnder("runtime/include/");
    if (public_header && top != "nearcall" && top != "absl" && top != "google") {
      problems.push_back(Problem(file, number, absl::StrCat("a public header includes ", match[1].str())));
    }
  }
  return problems;
}

Problems HeadersHavePragmaOnce(const SourceFile& file) {
  if (!file.HasExtension(".h")) return {};
  const std::vector<std::string> lines = file.Lines();
  if (std::find(lines.begin(), lines.end(), "#pragma once") != lines.end()) return {};
  return {Problem(file, 1, "a header without #pragma once")};
}

Problems FilesAreShort(const SourceFile& file) {
  const size_t lines = file.Lines().size();
  if (!IsWrittenForMachines(file) || lines <= kMaxFileLines) return {};
  return {Problem(file, 1, absl::StrCat(lines, " lines; more than ", kMaxFileLines, " are two files"))};
}

Problems FunctionsAreShort(const SourceFile& file) {
  Problems problems;
  if (!file.IsCpp()) return problems;
  for (const Function& function : FindFunctions(file.text)) {
    if (function.lines > kMaxFunctionLines) {
      problems.push_back(Problem(file, function.first_line, absl::StrCat("a function of ", function.lines, " lines")));
    }
  }
  return problems;
}

// Of what is ours to cut: not of what a test does, nor of what the user or the plugin sees as one thing.
Problems ClassesAreSmall(const SourceFile& file) {
  Problems problems;
  const bool inner = file.IsUnder("runtime/src/") || file.IsUnder("protoc-plugin/") || file.IsUnder("tools/") ||
                     file.IsUnder("bridge/src/");
  if (!file.IsCpp() || !inner) return problems;
  for (const Class& found : FindClasses(file.text)) {
    if (found.methods > kMaxMethods) {
      problems.push_back(Problem(file, found.first_line, absl::StrCat(found.name, " has ", found.methods, " methods")));
    }
  }
  return problems;
}

Problems LinesAreShort(const SourceFile& file) {
  Problems problems;
  if (!IsWrittenForMachines(file)) return problems;
  size_t number = 0;
  for (const std::string& line : file.Lines()) {
    ++number;
    if (Width(line) > kMaxLineCharacters) {
      problems.push_back(Problem(file, number, absl::StrCat("a line of ", Width(line), " characters")));
    }
  }
  return problems;
}

Problems WordsAreAllowed(const SourceFile& file) {
  Problems problems;
  if (file.IsUnder(kOwnFolder)) return problems;
  FindBanned(file, file.text, BannedNotes(), problems);
  if (!file.IsCpp()) return problems;
  const std::string code = CodeOnly(file.text);
  FindBanned(file, code, BannedCalls(), problems);
  if (file.IsUnder("runtime/")) FindBanned(file, code, BannedInTheRuntime(), problems);
  return problems;
}

Problems DescriptorsAreOwned(const SourceFile& file) {
  Problems problems;
  if (!file.IsUnder("runtime/src/") || !file.IsCpp()) return problems;
  const std::vector<BannedWord> calls = {
      {std::regex(R"(\bint \w+ = (base::Retry\(.*)?::(socket|accept4?|epoll_create1|eventfd|timerfd_create|open(at)?|)"
                  R"(inotify_init1|signalfd|mq_open|dup[23]?)\()"),
       "base::Fd"},
      {std::regex(R"(\b([io]?fstream|fopen|opendir)\b)"), "base::Fd and read(2)"},
  };
  FindBanned(file, CodeOnly(file.text), calls, problems);
  return problems;
}

Problems PathsAreOfTheProject(const SourceFile& file) {
  Problems problems;
  if (file.IsUnder(kOwnFolder)) return problems;
  const std::vector<BannedWord> places = {
      {std::regex(R"((^|[^\w/.}])/(work|root|home/\w+|Users/\w+)/)"), "a path of one machine"},
  };
  FindBanned(file, file.text, places, problems);
  return problems;
}

// A test is named after a source of its floor, or begins with a word of such a name or of its folder's:
// shm_ring_test.cc, handshake_refusal_test.cc (server_handshake.cc).
Problems UnitTestsMirrorSources(const std::vector<SourceFile>& files) {
  Problems problems;
  std::set<std::string> known;  // "base/fd"
  for (const SourceFile& file : files) {
    const std::filesystem::path path(file.path);
    const std::string floor(FloorOf(file));
    if (!file.IsCpp() || floor.empty()) continue;
    known.insert(absl::StrCat(floor, "/", path.stem().string()));
    known.insert(absl::StrCat(floor, "/", path.parent_path().filename().string()));
    for (const absl::string_view word : absl::StrSplit(path.stem().string(), '_')) {
      known.insert(absl::StrCat(floor, "/", word));
    }
  }
  static const std::regex test(R"(^tests/unit/([^/]+)/(?:.*/)?(([^/_]+)[^/]*)_test\.cc$)");
  for (const SourceFile& file : files) {
    std::smatch match;
    if (!std::regex_match(file.path, match, test) || file.HasExtension("_property_test.cc")) continue;
    const std::string tested = absl::StrCat(match[1].str(), "/", match[2].str());
    if (!known.contains(tested) && !known.contains(absl::StrCat(match[1].str(), "/", match[3].str()))) {
      problems.push_back(Problem(file, 1, absl::StrCat("there is no ", tested, " in runtime/src")));
    }
  }
  return problems;
}

Problems TransportsAreFolders(const std::vector<SourceFile>& files) {
  // What is no transport that an address may name.
  const std::set<std::string> others = {"rendezvous", "loopback"};
  static const std::regex folder(R"(^runtime/src/transport/([^/]+)/[^/]+$)");
  std::map<std::string, std::regex> names;  // and how each is said
  for (const SourceFile& file : files) {
    std::smatch match;
    if (!std::regex_match(file.path, match, folder) || others.contains(match[1])) continue;
    const std::string name = match[1];
    names.try_emplace(name, absl::StrCat("^[^/]*(\"transport/", name, "/|\\b", name, "::|\"", name, "\")"));
  }
  Problems problems;
  for (const SourceFile& file : files) {
    if (!file.IsUnder("runtime/src/") || !file.IsCpp()) continue;
    if (file.path == "runtime/src/transport/transport_table.cc") continue;
    for (const auto& [name, said] : names) {
      if (file.IsUnder(absl::StrCat("runtime/src/transport/", name, "/"))) continue;
      FindBanned(file, file.text, {{said, "a transport is named in its folder and its row only"}}, problems);
    }
  }
  return problems;
}

Problems FilesNameTheLicence(const SourceFile& file) {
  const bool is_source = file.IsCpp() || file.HasExtension(".proto") || file.HasExtension(".cmake") ||
                         file.HasExtension("CMakeLists.txt") || file.HasExtension(".pml") || file.HasExtension(".py") ||
                         absl::StartsWith(file.text, "#!");
  if (!is_source || file.IsUnder("tests/golden/bad/") || file.IsUnder("tests/golden/foreign/")) return {};
  const std::vector<std::string> lines = file.Lines();
  for (size_t i = 0; i < std::min<size_t>(lines.size(), 2); ++i) {
    if (absl::StrContains(lines[i], kLicence)) return {};
  }
  return {Problem(file, 1, absl::StrCat("does not begin with a comment ", kLicence))};
}

Problems ReadmeShowsHello(const std::vector<SourceFile>& files) {
  Problems problems;
  const SourceFile* readme = Find(files, "README.md");
  if (readme == nullptr) return {"README.md: there is none"};
  for (const char* name : {"hello.proto", "hello_server.cc", "hello_client.cc"}) {
    const SourceFile* program = Find(files, absl::StrCat("examples/hello/", name));
    if (program == nullptr) {
      problems.push_back(absl::StrCat("examples/hello/", name, ": there is none"));
      continue;
    }
    const char* language = program->IsCpp() ? "cpp" : "proto";
    absl::string_view text = program->text;
    if (absl::ConsumePrefix(&text, absl::StrCat("// ", kLicence, "\n"))) absl::ConsumePrefix(&text, "\n");
    if (!absl::StrContains(readme->text, absl::StrCat("```", language, "\n", text, "```\n"))) {
      problems.push_back(Problem(*readme, 1, absl::StrCat("does not show ", program->path, " as it is")));
    }
    if (program->Lines().size() >= kMaxReadmeProgramLines) {
      problems.push_back(Problem(*program, 1, "too long for the README"));
    }
  }
  return problems;
}

Problems DocumentedErrorsExist(const std::vector<SourceFile>& files) {
  const SourceFile* page = Find(files, "docs/errors.md");
  if (page == nullptr) return {"docs/errors.md: there is none"};
  std::string runtime;
  for (const SourceFile& file : files) {
    const bool speaks = file.IsUnder("runtime/src/") || file.IsUnder("bridge/src/") || file.IsUnder("tools/proxy/");
    if (file.IsCpp() && speaks) absl::StrAppend(&runtime, file.text);
  }
  // Text over several lines is one.
  runtime = absl::StrReplaceAll(std::regex_replace(runtime, std::regex("\"\\s*\n\\s*\""), ""), {{"\\\"", "\""}});
  Problems problems;
  const std::vector<std::string> lines = page->Lines();
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::string_view line = lines[i];
    if (!absl::ConsumePrefix(&line, "| `")) continue;
    for (absl::string_view part : absl::StrSplit(line.substr(0, line.find('`')), "…")) {
      part = absl::StripAsciiWhitespace(part);
      if (absl::StrContains(runtime, part)) continue;
      problems.push_back(Problem(*page, i + 1, absl::StrCat("no error of the runtime says: ", part)));
    }
  }
  return problems;
}

}  // namespace nearcall::tidy
