#pragma once

#include <semaphore.h>

#include "transport/shm/bell.h"

namespace nearcall::transport::shm {

// A process-shared POSIX semaphore in a page that both sides can write: where one thread waits for one peer. Its value
// is never looked at for anything. Not destroyed at the end: the other side may still post, and there is nothing to
// free.
class SemaphoreBell final : public Bell {
 public:
  // Makes a semaphore in `page`; once, before it is shared.
  static void Create(void* page);

  // The one that stands in `page`, which outlives the bell.
  explicit SemaphoreBell(void* page) : semaphore_(static_cast<sem_t*>(page)) {}

  void Ring() override;
  bool Wait(base::SteadyNs until) override;
  int fd() const override { return -1; }
  void Interrupt() override;
  void Unblock() override {}

 private:
  sem_t* const semaphore_;
};

}  // namespace nearcall::transport::shm
