// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/child.h"

namespace nearcall::transport {

// A process that was just made.
struct Spawned {
  base::Fd socket;  // this process's end of what it has inherited
  base::Fd pidfd;
  pid_t pid;
};

// As StartServer() says, without anybody who watches it: it has still to be reaped.
absl::StatusOr<Spawned> Spawn(const Program& program);

// The variable in which a child reads the number of the socket that it has inherited.
inline constexpr char kInheritedFdVariable[] = "NEARCALL_FD";

}  // namespace nearcall::transport
