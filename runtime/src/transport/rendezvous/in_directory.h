// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/functional/function_ref.h"
#include "base/fd.h"

namespace nearcall::transport {

// Runs `call` with `directory` as its working directory and no umask: on a thread of its own, for which alone both
// change (unshare(2), CLONE_FS). For a system call that takes a path and no descriptor, where there is no /proc to make
// one of the other. `call` returns 0 or an errno; so does this, also if there can be no such thread.
int RunInDirectory(const base::Fd& directory, absl::FunctionRef<int()> call);

}  // namespace nearcall::transport
