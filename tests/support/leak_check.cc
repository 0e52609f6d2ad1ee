// SPDX-License-Identifier: Apache-2.0
#include "support/leak_check.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "support/temporary_directory.h"

namespace nearcall::testing {

namespace {

std::vector<std::string> List(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return names;
  const std::string own = std::to_string(::dirfd(directory));
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.' && entry->d_name != own) names.emplace_back(entry->d_name);
  }
  ::closedir(directory);
  return names;
}

std::multiset<std::string> More(const std::multiset<std::string>& now, const std::multiset<std::string>& before) {
  std::multiset<std::string> more;
  std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::inserter(more, more.end()));
  return more;
}

std::string Difference(const Resources& now, const Resources& before) {
  std::vector<std::string> parts;
  if (const auto more = More(now.descriptors, before.descriptors); !more.empty()) {
    parts.push_back(absl::StrCat("descriptors: ", absl::StrJoin(more, ", ")));
  }
  if (const auto more = More(now.mappings, before.mappings); !more.empty()) {
    parts.push_back(absl::StrCat("mappings: ", absl::StrJoin(more, ", ")));
  }
  if (const auto more = More(now.names, before.names); !more.empty()) {
    parts.push_back(absl::StrCat("names: ", absl::StrJoin(more, ", ")));
  }
  if (now.threads > before.threads) {
    parts.push_back(absl::StrCat("threads: ", now.threads, ", before ", before.threads));
  }
  return absl::StrJoin(parts, "; ");
}

// By its name: whoever has the descriptor may be closing it.
bool IsFifo(const std::string& fd) {
  struct stat status {};
  return ::stat(absl::StrCat("/proc/self/fd/", fd).c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
}

// Those in which this process was the last one to send or to receive.
std::multiset<std::string> OwnSystemVQueues() {
  std::multiset<std::string> queues;
  std::ifstream table("/proc/sysvipc/msg");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string key;
    std::string id;
    std::string mode;
    std::string bytes;
    std::string messages;
    pid_t last_sender = 0;
    pid_t last_receiver = 0;
    fields >> key >> id >> mode >> bytes >> messages >> last_sender >> last_receiver;
    if (last_sender == ::getpid() || last_receiver == ::getpid()) queues.insert("a System V queue");
  }
  return queues;
}

}  // namespace

Resources Resources::Now() {
  Resources now;
  for (const std::string& fd : List("/proc/self/fd")) {
    char target[256];
    const ssize_t size = ::readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), target, sizeof(target));
    if (size <= 0) continue;
    // A server's are others, under other numbers and names, after each client that comes.
    if (target[0] == '/' && IsFifo(fd)) {
      now.descriptors.insert("a FIFO");
      continue;
    }
    // Which file it is, whether or not that has a name still: one that was inherited may lose it meanwhile.
    const absl::string_view file = absl::StripSuffix({target, static_cast<size_t>(size)}, " (deleted)");
    now.descriptors.insert(absl::StrCat(fd, " -> ", file));
  }
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (absl::StrContains(line, "memfd:")) now.mappings.insert(line);
  }
  now.threads = List("/proc/self/task").size();
  for (const char* directory : {"/dev/shm", "/dev/mqueue"}) {
    for (const std::string& name : List(directory)) now.names.insert(absl::StrCat(directory, "/", name));
  }
  now.names.merge(OwnSystemVQueues());
  const std::string temporary = std::filesystem::temp_directory_path();
  for (const std::string& name : List(temporary)) {
    if (absl::StartsWith(name, TemporaryPrefix())) now.names.insert(absl::StrCat(temporary, "/", name));
  }
  return now;
}

std::string Resources::LeakedSince(const Resources& before) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (;;) {
    std::string difference = Difference(Now(), before);
    if (difference.empty() || std::chrono::steady_clock::now() > end) return difference;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace nearcall::testing
