// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace nearcall::base {

// Calls `call` until it does not fail with EINTR: `Retry([&] { return ::read(fd, data, size); })`. Not for calls with a
// relative timeout, and not for close(2).
template <typename Call>
auto Retry(Call&& call) -> decltype(call()) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

// A status for a failed system call: "<what>: <text of errno>", with the code that section "errors" of
// runtime/README.md gives to the errno. EMFILE, ENFILE, ENOMEM, ENOSPC, EAGAIN on creation and the like are
// RESOURCE_EXHAUSTED and name the limit with its value ("RLIMIT_NOFILE is 1024"); EACCES and EPERM are
// PERMISSION_DENIED; the rest is UNAVAILABLE for a peer that is gone (ENOENT, ECONNREFUSED, ECONNRESET, EPIPE) and
// INTERNAL otherwise.
absl::Status ErrnoStatus(int error, absl::string_view what);
inline absl::Status ErrnoStatus(absl::string_view what) {
  return ErrnoStatus(errno, what);
}

}  // namespace nearcall::base
