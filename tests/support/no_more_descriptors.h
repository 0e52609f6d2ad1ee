// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/resource.h>

#include <cerrno>
#include <vector>

#include "base/fd.h"
#include "base/syscall.h"

namespace nearcall::testing {

// No further descriptor can be opened (those that are open stay).
class NoMoreDescriptors {
 public:
  // `room`: how many can be opened all the same.
  explicit NoMoreDescriptors(int room = 0) {
    // UndefinedBehaviorSanitizer opens a pipe when it meets a type for the first time; here it meets those of messages.
    base::ErrnoStatus(EMFILE, "").IgnoreError();
    ::getrlimit(RLIMIT_NOFILE, &before_);
    std::vector<base::Fd> free;
    for (int i = 0; i <= room; ++i) free.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(free.back().get());
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_;
};

}  // namespace nearcall::testing
