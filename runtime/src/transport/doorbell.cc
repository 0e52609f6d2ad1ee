// SPDX-License-Identifier: Apache-2.0
#include "transport/doorbell.h"

#include <sys/eventfd.h>

#include "base/syscall.h"

namespace nearcall::transport {

absl::StatusOr<base::Fd> CreateDoorbell() {
  base::Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return base::ErrnoStatus("cannot create a doorbell (eventfd)");
  return fd;
}

}  // namespace nearcall::transport
