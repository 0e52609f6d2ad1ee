// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/journal.h"

#include <dirent.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/syscall.h"
#include "transport/rendezvous/directory.h"
#include "transport/sysv/process.h"
#include "transport/sysv/queue.h"

namespace nearcall::transport::sysv {

namespace {

constexpr absl::string_view kPrefix = ".sysv-";

// One of 2^30 at random is taken twice at most by somebody else.
constexpr int kAttempts = 8;

// Even, and neither IPC_PRIVATE nor negative, which prints badly.
absl::StatusOr<key_t> RandomKey() {
  uint32_t number = 0;
  if (base::Retry([&] { return ::getrandom(&number, sizeof(number), 0); }) != sizeof(number)) {
    return base::ErrnoStatus("sysv: cannot choose a key (getrandom)");
  }
  return static_cast<key_t>((number & 0x7ffffffeU) | 2U);
}

std::string PathOf(const Directory& directory, key_t key) {
  return directory.PathOf(absl::StrFormat("%s%08x", kPrefix, key));
}

std::optional<key_t> KeyOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kPrefix)) return std::nullopt;
  key_t key = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), key, 16);
  if (error != std::errc() || end != name.data() + name.size() || key <= 0) return std::nullopt;
  return key;
}

// All at once: who reads on while names are removed may miss some.
std::vector<key_t> KeysIn(const Directory& directory) {
  std::vector<key_t> keys;
  directory.ForEachEntry([&](const dirent& entry) {
    if (const std::optional<key_t> key = KeyOf(entry.d_name)) keys.push_back(*key);
    return true;
  });
  return keys;
}

std::string ReadLink(const std::string& path) {
  std::array<char, PATH_MAX> text;
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  return std::string(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
}

}  // namespace

absl::StatusOr<Journal> Journal::Create() {
  const absl::StatusOr<Directory> directory = OpenServerDirectory();
  if (!directory.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "sysv: there is no place where its queues could be written down, for who finds them when this server was "
        "killed: ",
        directory.status().message()));
  }
  const absl::StatusOr<std::string> process = OwnProcess();
  if (!process.ok()) return process.status();
  for (int i = 0; i < kAttempts; ++i) {
    const absl::StatusOr<key_t> key = RandomKey();
    if (!key.ok()) return key.status();
    const std::string path = PathOf(*directory, *key);
    if (::symlink(process->c_str(), path.c_str()) == 0) return Journal(path, *key);
    if (errno != EEXIST) return base::ErrnoStatus(absl::StrCat("sysv: cannot write down a queue (symlink ", path, ")"));
  }
  return absl::ResourceExhaustedError("sysv: there is no free key for a queue");
}

void Journal::Sweep() {
  const absl::StatusOr<Directory> directory = OpenServerDirectory(Directory::IfMissing::kFail);
  if (!directory.ok()) return;
  for (const key_t key : KeysIn(*directory)) {
    Journal journal(PathOf(*directory, key), key);
    if (!IsDeadProcess(ReadLink(journal.path_))) continue;
    RemoveQueue(FindOwnQueue(journal.to_server_key()));
    RemoveQueue(FindOwnQueue(journal.to_client_key()));
    journal.Remove();
  }
}

void Journal::Remove() {
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace nearcall::transport::sysv
