// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace nearcall::transport::sysv {

// Which process, of all that this machine ever has: "<boot> <pid namespace> <pid> <time of its start>".
// FAILED_PRECONDITION without /proc, RESOURCE_EXHAUSTED without a descriptor.
absl::StatusOr<std::string> OwnProcess();

// Whether the process that said this of itself is dead for sure. False for one that cannot be seen from here.
bool IsDeadProcess(absl::string_view process);

// Whether no process has this number any more, or only one that waits to be reaped. False for 0, which is one that
// cannot be seen from here.
bool IsDead(pid_t pid);

// The number of this process's IPC namespace, to which queues belong; 0 without /proc.
uint64_t IpcNamespace();

}  // namespace nearcall::transport::sysv
