// SPDX-License-Identifier: Apache-2.0
#include "transport/open_own.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/proc_path.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

absl::Status NoProc(absl::string_view transport, int error) {
  return absl::FailedPreconditionError(absl::StrCat(transport, ": ",
                                                    base::ErrnoStatus(error, "cannot use /proc/self/fd").message(),
                                                    "; this transport needs a /proc (shm: does not)"));
}

}  // namespace

absl::StatusOr<base::Fd> OpenOwn(absl::string_view transport, const base::Fd& pipe) {
  const std::string path = base::ProcPath(pipe);
  std::array<char, 64> target;
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size == -1) return NoProc(transport, errno);
  // SUBTLE: the name is the one property that is told without asking the file system that the descriptor belongs to,
  // and one of the peer's (FUSE) might never answer. No path begins so.
  const absl::string_view name(target.data(), static_cast<size_t>(size));
  if (!absl::StartsWith(name, "pipe:[")) {
    return absl::InternalError(absl::StrCat(transport, ": the peer sent a descriptor of ", name, ", expected a pipe"));
  }
  base::Fd own(base::Retry([&] { return ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC); }));
  if (!own.valid()) return base::ErrnoStatus(absl::StrCat(transport, ": cannot open ", path));
  return own;
}

}  // namespace nearcall::transport
