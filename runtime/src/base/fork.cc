// SPDX-License-Identifier: Apache-2.0
#include "base/fork.h"

#include <pthread.h>

namespace nearcall::base::internal {

std::atomic<uint64_t> fork_generation{0};

namespace {

void OnForkInChild() {
  fork_generation.fetch_add(1, std::memory_order_relaxed);
}

// Installed when the library is loaded, before any object of ours can exist.
[[maybe_unused]] const int installed = ::pthread_atfork(nullptr, nullptr, &OnForkInChild);

}  // namespace

}  // namespace nearcall::base::internal
