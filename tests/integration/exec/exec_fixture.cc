// SPDX-License-Identifier: Apache-2.0
#include "exec_fixture.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace nearcall::integration {

size_t CountChildren() {
  size_t count = 0;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(process.path() / "stat");
    std::string name;
    std::string state;
    pid_t parent = 0;
    if (std::getline(file, name, ')') && file >> state >> parent && parent == ::getpid()) ++count;
  }
  return count;
}

bool Exists(pid_t pid) {
  return ::kill(pid, 0) == 0 || errno != ESRCH;
}

ExecTest::~ExecTest() {
  EXPECT_FALSE(HasChild()) << "a child has been left";
}

ChannelOptions ExecTest::With(const std::vector<std::string>& arguments, ChannelOptions options) const {
  if (options.exec.argv.empty()) {
    options.exec.argv = {"exec_server"};
    options.exec.argv.insert(options.exec.argv.end(), arguments.begin(), arguments.end());
  }
  options.exec.max_pause = absl::Milliseconds(1);
  return options;
}

absl::Status ExecTest::TryStart(const std::string& program, const std::vector<std::string>& argv,
                                ChannelOptions options) {
  options.exec.argv = argv;
  return Channel::Connect(absl::StrCat("exec:", program), std::move(options)).status();
}

absl::StatusOr<std::string> ExecTest::Ask(const std::shared_ptr<Channel>& channel, const std::string& order,
                                          CallOptions options) {
  absl::StatusOr<Blob> reply = Echo::Stub(channel).Say(MakeBlob(order), options);
  if (!reply.ok()) return reply.status();
  return reply->data();
}

}  // namespace nearcall::integration
