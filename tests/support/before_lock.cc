// SPDX-License-Identifier: Apache-2.0
#include "support/before_lock.h"

#include <functional>
#include <mutex>
#include <utility>

namespace {

std::mutex mutex;
std::function<void()> next;

}  // namespace

extern "C" {

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation) {
  std::function<void()> now;
  {
    const std::lock_guard lock(mutex);
    now = std::exchange(next, nullptr);
  }
  if (now) now();
  return __real_flock(fd, operation);
}
}

namespace nearcall::testing {

void BeforeNextLock(std::function<void()> what) {
  const std::lock_guard lock(mutex);
  next = std::move(what);
}

}  // namespace nearcall::testing
