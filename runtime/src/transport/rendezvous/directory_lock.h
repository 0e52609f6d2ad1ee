// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "base/limits.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// A lock between processes that put names into one directory: flock(2) on a file of mode 0600, so that no other user
// can hold it. The file is removed with the lock; one that a killed process left is simply taken over.
class DirectoryLock {
 public:
  // Waits so long at most, then UNAVAILABLE. `directory` must outlive the lock.
  static absl::StatusOr<DirectoryLock> Acquire(const Directory& directory, absl::string_view file_name,
                                               int64_t patience_ns = base::kBindLockTimeoutNs);

  DirectoryLock(DirectoryLock&&) noexcept = default;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  DirectoryLock(const Directory& directory, std::string file_name, base::Fd fd)
      : directory_(directory), file_name_(std::move(file_name)), fd_(std::move(fd)) {}

  const Directory& directory_;
  const std::string file_name_;
  base::Fd fd_;
};

}  // namespace nearcall::transport
