// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/fd.h"
#include "base/poll.h"
#include "base/syscall.h"

namespace nearcall::transport::sysv {

namespace {

// Of proc(5), counted from behind the name of the program, which may hold anything.
constexpr size_t kStartTimeField = 19;

// Empty, and errno says why, if it cannot be read.
std::string ReadSmallFile(const std::string& path) {
  const base::Fd file(base::Retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!file.valid()) return "";
  std::array<char, 1024> text;
  const ssize_t size = base::Retry([&] { return ::read(file.get(), text.data(), text.size()); });
  return std::string(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
}

// "<boot> <pid namespace>"; empty, and errno says why, if that cannot be known.
std::string Here() {
  const std::string boot = ReadSmallFile("/proc/sys/kernel/random/boot_id");
  std::array<char, 64> space;
  const ssize_t size = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  if (boot.empty() || size <= 0) return "";
  return absl::StrCat(absl::StripSuffix(boot, "\n"), " ", absl::string_view(space.data(), static_cast<size_t>(size)));
}

// Empty if there is no such process.
std::string StartTimeOf(pid_t pid) {
  const std::string stat = ReadSmallFile(absl::StrCat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos) return "";
  const std::vector<absl::string_view> fields = absl::StrSplit(absl::string_view(stat).substr(name_end + 2), ' ');
  return fields.size() > kStartTimeField ? std::string(fields[kStartTimeField]) : "";
}

}  // namespace

absl::StatusOr<std::string> OwnProcess() {
  const std::string here = Here();
  const std::string start = here.empty() ? "" : StartTimeOf(::getpid());
  if (!start.empty()) return absl::StrCat(here, " ", ::getpid(), " ", start);
  absl::Status why = base::ErrnoStatus("sysv: cannot read /proc, by which queues of killed servers are told apart");
  if (absl::IsResourceExhausted(why)) return why;
  return absl::FailedPreconditionError(absl::StrCat(why.message(), "; mount it, or use shm:"));
}

bool IsDeadProcess(absl::string_view process) {
  const std::vector<absl::string_view> parts = absl::StrSplit(process, ' ');
  const std::vector<std::string> here = absl::StrSplit(Here(), ' ');
  pid_t pid = 0;
  if (here.size() != 2 || parts.size() != 4 || !absl::SimpleAtoi(parts[2], &pid)) return false;
  if (parts[0] != here[0]) return true;  // before the machine was started again
  if (parts[1] != here[1]) return false;
  return StartTimeOf(pid) != parts[3] || IsDead(pid);
}

uint64_t IpcNamespace() {
  struct stat status;
  return ::stat("/proc/self/ns/ipc", &status) == 0 ? status.st_ino : 0;
}

bool IsDead(pid_t pid) {
  if (pid <= 0) return false;
  const base::Fd process = base::OpenPidfd(pid);
  return process.valid() ? base::IsReadable(process.get()) : errno == ESRCH;
}

}  // namespace nearcall::transport::sysv
