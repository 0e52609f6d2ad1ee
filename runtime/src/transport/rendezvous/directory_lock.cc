// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/directory_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

constexpr int kPauseMs = 1;

// Where everybody may make files somebody else may have made this one, and could hold the lock for good. (Whoever owns
// the directory can do so anyway.)
absl::Status CheckOwner(const base::Fd& fd, const Directory& directory, const std::string& name) {
  struct stat file;
  struct stat parent;
  if (::fstat(fd.get(), &file) != 0 || ::fstat(directory.fd(), &parent) != 0) {
    return base::ErrnoStatus(absl::StrCat("fstat lock file ", directory.PathOf(name)));
  }
  if (file.st_uid == ::geteuid() || file.st_uid == 0 || file.st_uid == parent.st_uid) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("lock file ", directory.PathOf(name), " belongs to uid ", file.st_uid,
                                                  ", who could hold it for good; remove it"));
}

absl::StatusOr<base::Fd> OpenLockFile(const Directory& directory, const std::string& name) {
  base::Fd fd(base::Retry(
      [&] { return ::openat(directory.fd(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600); }));
  if (!fd.valid()) return base::ErrnoStatus(absl::StrCat("open lock file ", directory.PathOf(name)));
  if (absl::Status check = CheckOwner(fd, directory, name); !check.ok()) return check;
  return fd;
}

// Whether the file that was locked still has the name: its last holder removes it.
bool StillNamed(const base::Fd& fd, const Directory& directory, const std::string& name) {
  struct stat locked;
  struct stat named;
  return ::fstat(fd.get(), &locked) == 0 && ::fstatat(directory.fd(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

}  // namespace

absl::StatusOr<DirectoryLock> DirectoryLock::Acquire(const Directory& directory, absl::string_view file_name,
                                                     int64_t patience_ns) {
  std::string name(file_name);
  const base::SteadyNs deadline = base::AddNs(base::NowNs(), patience_ns);
  for (;;) {
    auto fd = OpenLockFile(directory, name);
    if (!fd.ok()) return fd.status();
    // Never a blocking flock: a stopped process would hold us up for good.
    if (::flock(fd->get(), LOCK_EX | LOCK_NB) == 0) {
      if (StillNamed(*fd, directory, name)) return DirectoryLock(directory, std::move(name), *std::move(fd));
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return base::ErrnoStatus(absl::StrCat("lock ", directory.PathOf(name)));
    }
    if (base::NowNs() >= deadline) {
      return absl::UnavailableError(absl::StrCat("another process has held the lock ", directory.PathOf(name), " for ",
                                                 base::kBindLockTimeoutNs / 1'000'000'000,
                                                 " s; see with fuser(1) which, and end it"));
    }
    ::poll(nullptr, 0, kPauseMs);
  }
}

DirectoryLock::~DirectoryLock() {
  if (fd_.valid()) ::unlinkat(directory_.fd(), file_name_.c_str(), 0);
}

}  // namespace nearcall::transport
