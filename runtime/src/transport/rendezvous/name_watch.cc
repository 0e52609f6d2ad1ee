// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/name_watch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/syscall.h"

namespace nearcall::transport {

std::optional<FileId> FileIdOf(const Directory& directory, const std::string& name) {
  struct stat status;
  if (::fstatat(directory.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return FileId{.device = status.st_dev, .inode = status.st_ino};
}

base::Fd WatchFile(const std::string& path) {
  // IN_ATTRIB: its number of names has changed.
  constexpr uint32_t kEvents = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_DONT_FOLLOW;
  base::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (watch.valid() && ::inotify_add_watch(watch.get(), path.c_str(), kEvents) == -1) watch.Reset();
  return watch;
}

void DrainWatch(const base::Fd& watch) {
  alignas(inotify_event) std::array<char, 4096> events;
  while (base::Retry([&] { return ::read(watch.get(), events.data(), events.size()); }) > 0) {
  }
}

base::Fd HoldAgainstCleaners(const Directory& directory) {
  struct stat status;
  if (::fstat(directory.fd(), &status) != 0 || (status.st_mode & S_ISVTX) != 0) return {};
  base::Fd hold(base::Retry([&] { return ::openat(directory.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (hold.valid() && ::flock(hold.get(), LOCK_SH | LOCK_NB) != 0) hold.Reset();
  return hold;
}

}  // namespace nearcall::transport
