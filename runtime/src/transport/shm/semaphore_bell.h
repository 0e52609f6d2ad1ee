// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/semaphore.h"
#include "transport/shm/bell.h"

namespace nearcall::transport::shm {

// A semaphore in a page that both sides can write: where one thread waits for one peer. A page of zeros is one that has
// not been rung. What stands there decides when this side wakes, and nothing else.
class SemaphoreBell final : public Bell {
 public:
  // The one at the start of `page`, which outlives the bell.
  explicit SemaphoreBell(void* page) : semaphore_(*static_cast<std::atomic<uint32_t>*>(page)) {}

  void Ring() override { semaphore_.Post(); }
  bool Wait(base::SteadyNs until) override { return semaphore_.Wait(until); }
  bool can_wait() const override { return true; }
  int fd() const override { return -1; }
  void Interrupt() override { semaphore_.PostToAll(); }
  void Unblock() override {}

 private:
  base::Semaphore semaphore_;
};

}  // namespace nearcall::transport::shm
