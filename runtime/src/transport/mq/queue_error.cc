// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/queue_error.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "base/syscall.h"
#include "transport/sysctl.h"

namespace nearcall::transport::mq {

namespace {

bool CanOpenADescriptor() {
  return base::Fd(::eventfd(0, EFD_CLOEXEC)).valid();
}

std::string ChargeLimitText() {
  const uint64_t limit = QueueLimits::Now().charge;
  return limit == QueueLimits::kUnlimited ? "RLIMIT_MSGQUEUE is unlimited"
                                          : absl::StrCat("RLIMIT_MSGQUEUE is ", limit, " B for all queues of a user");
}

std::string QueuesMaxText() {
  const std::optional<size_t> value = ReadSysctl("fs/mqueue/queues_max");
  return value ? absl::StrCat("fs.mqueue.queues_max is ", *value) : "fs.mqueue.queues_max is reached";
}

absl::Status LimitReached(absl::string_view what, absl::string_view limit, absl::string_view remedy) {
  return absl::ResourceExhaustedError(absl::StrCat(what, ": ", limit, "; ", remedy, ", or use shm: or pipe:"));
}

}  // namespace

absl::Status CreationError(int error, const QueueSize& size) {
  const std::string what = absl::StrCat("mq: cannot create a queue of ", size.max_messages, " x ", size.message_size,
                                        " B, which counts as ", ChargeOf(size), " B");
  switch (error) {
    case EMFILE:
      if (!CanOpenADescriptor()) return base::ErrnoStatus(error, what);
      return LimitReached(what, ChargeLimitText(),
                          "raise it (ulimit -q), or ServerOptions::expected_clients (for smaller queues)");
    case ENOSPC:
      return LimitReached(what, QueuesMaxText(), "raise it (sysctl fs.mqueue.queues_max)");
    case EINVAL: {
      const QueueLimits limits = QueueLimits::Now();
      return LimitReached(what,
                          absl::StrCat("fs.mqueue.msg_max is ", limits.max_messages, ", fs.mqueue.msgsize_max is ",
                                       limits.message_size),
                          "raise them (sysctl)");
    }
    case ENOENT:
      return absl::FailedPreconditionError(absl::StrCat(what, ": there is no /proc; mount it, or use shm:"));
    case ENOSYS:
    case EACCES:
    case EPERM:
      return absl::UnavailableError(absl::StrCat(
          what, ": ", error == ENOSYS ? "this kernel has no POSIX message queues" : "it is forbidden by the system",
          "; use shm: or pipe:"));
    default:
      return base::ErrnoStatus(error, what);
  }
}

}  // namespace nearcall::transport::mq
