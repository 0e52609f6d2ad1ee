// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/in_directory.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/thread.h"

namespace nearcall::transport {

int RunInDirectory(const base::Fd& directory, absl::FunctionRef<int()> call) {
  int error = 0;
  const auto run = [&] {
    if (::unshare(CLONE_FS) != 0 || ::fchdir(directory.get()) != 0) {
      error = errno;
      return;
    }
    ::umask(0);
    error = call();
  };
  base::Thread thread;
  if (!thread.Start("nearcall-path", base::kOwnStack, run).ok()) return EAGAIN;
  thread.Join();
  return error;
}

}  // namespace nearcall::transport
