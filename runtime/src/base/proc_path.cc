// SPDX-License-Identifier: Apache-2.0
#include "base/proc_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace nearcall::base {

namespace {

// Newer than Debian 12's headers (Linux 6.6).
constexpr long kFchmodat2 = 452;

}  // namespace

std::string ProcPath(int fd) {
  return absl::StrCat("/proc/thread-self/fd/", fd);
}

bool HasProc() {
  return ::access("/proc/thread-self/fd", F_OK) == 0;
}

bool ChangeMode(const Fd& fd, mode_t mode) {
  // fchmod(2) refuses O_PATH. Older kernels, and some filters, do not know the other one.
  if (::syscall(kFchmodat2, fd.get(), "", mode, AT_EMPTY_PATH) == 0) return true;
  if (errno != ENOSYS && errno != EPERM) return false;
  return ::chmod(ProcPath(fd).c_str(), mode) == 0;
}

}  // namespace nearcall::base
