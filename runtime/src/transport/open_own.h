// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace nearcall::transport {

// Opens the pipe behind a descriptor once more: for reading and writing, non-blocking, and with an open file
// description that no other process has, so that nobody else can change its flags. INTERNAL if the descriptor is not
// that of a pipe (a named FIFO is none: it belongs to a file system, which may take its time over every call),
// FAILED_PRECONDITION without /proc. The texts begin with `transport`, which wants it.
absl::StatusOr<base::Fd> OpenOwn(absl::string_view transport, const base::Fd& pipe);

}  // namespace nearcall::transport
