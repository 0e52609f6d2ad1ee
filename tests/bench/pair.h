// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <semaphore.h>
#include <sys/mman.h>

#include <functional>
#include <new>

#include "base/check.h"
#include "bench/subject.h"

namespace nearcall::bench {

// A round trip between this process and one forked from it. Memory that both map holds what they share.
class Pair : public Subject {
 public:
  pid_t peer() const override { return pid_; }

  ~Pair() override;

 protected:
  template <typename Shared>
  static Shared* Map() {
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEARCALL_CHECK(memory != MAP_FAILED);
    return new (memory) Shared;
  }

  // Starts the other process, on `cpu`: it does the same again and again until it is killed.
  void Fork(int cpu, const std::function<void()>& answer);

 private:
  pid_t pid_ = 0;
};

// Of memory that both processes map.
void Wait(sem_t& semaphore);

}  // namespace nearcall::bench
