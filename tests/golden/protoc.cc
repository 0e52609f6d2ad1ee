// SPDX-License-Identifier: Apache-2.0
#include "protoc.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "support/temporary_directory.h"

namespace nearcall::testing {

namespace fs = std::filesystem;

namespace {

// Runs a program to its end, with standard error into a file. True if it exits with 0.
bool RunProgram(std::vector<std::string> arguments, const fs::path& errors) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    ADD_FAILURE() << "cannot run " << argv[0] << ": errno " << error;
    return false;
  }
  int status = -1;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// protoc's own warnings are not the plugin's: newer ones warn of options that older ones like.
std::string WithoutWarnings(const std::string& text) {
  std::string rest;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (!absl::StrContains(line, ".proto: warning: ")) absl::StrAppend(&rest, line, "\n");
  }
  return rest;
}

}  // namespace

std::string ReadFile(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::vector<std::string> ProtosIn(const fs::path& dir) {
  std::vector<std::string> protos;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.path().extension() == ".proto") protos.push_back(entry.path().lexically_relative(dir));
  }
  std::sort(protos.begin(), protos.end());
  return protos;
}

ProtocRun RunProtoc(const fs::path& import_dir, const std::vector<std::string>& protos,
                    const std::vector<std::string>& flags) {
  const TemporaryDirectory out;
  const TemporaryDirectory log;
  std::vector<std::string> arguments = {PROTOC, absl::StrCat("--plugin=protoc-gen-nearcall=", PLUGIN),
                                        absl::StrCat("--nearcall_out=", out.path()),
                                        absl::StrCat("-I", import_dir.string()), absl::StrCat("-I", IDL_DIR)};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  for (const std::string& proto : protos) arguments.push_back(import_dir / proto);

  ProtocRun run;
  run.ok = RunProgram(std::move(arguments), log / "errors");
  run.errors = WithoutWarnings(ReadFile(log / "errors"));
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(out.path())) {
    if (entry.is_regular_file()) run.files[entry.path().lexically_relative(out.path())] = ReadFile(entry.path());
  }
  return run;
}

}  // namespace nearcall::testing
