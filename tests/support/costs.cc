// SPDX-License-Identifier: Apache-2.0
#include "support/costs.h"

#include <pthread.h>

#include <atomic>

namespace {

std::atomic<size_t> allocations{0};
std::atomic<size_t> locks{0};

}  // namespace

extern "C" {

// operator new(size_t), where that is unsigned long.
void* __real__Znwm(unsigned long size);  // NOLINT(google-runtime-int)
void* __wrap__Znwm(unsigned long size);  // NOLINT(google-runtime-int)
int __real_pthread_mutex_lock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex);

void* __wrap__Znwm(unsigned long size) {  // NOLINT(google-runtime-int)
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __real__Znwm(size);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
  locks.fetch_add(1, std::memory_order_relaxed);
  return __real_pthread_mutex_lock(mutex);
}
}

namespace nearcall::testing {

size_t Allocations() {
  return allocations.load(std::memory_order_relaxed);
}

size_t LocksTaken() {
  return locks.load(std::memory_order_relaxed);
}

}  // namespace nearcall::testing
