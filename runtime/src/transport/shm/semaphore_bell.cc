#include "transport/shm/semaphore_bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>

#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport::shm {

namespace {

// Left-over tokens that one Wait() takes with it. An honest peer leaves one or two.
constexpr int kMaxDrain = 64;

}  // namespace

void SemaphoreBell::Create(void* page) {
  NEARCALL_CHECK(::sem_init(static_cast<sem_t*>(page), /*pshared=*/1, /*value=*/0) == 0);
}

void SemaphoreBell::Ring() {
  // The only possible failure is EOVERFLOW: it is rung already.
  ::sem_post(semaphore_);
}

bool SemaphoreBell::Wait(base::SteadyNs until) {
  const timespec deadline = base::ToTimespec(until);
  if (base::Retry([&] { return ::sem_clockwait(semaphore_, CLOCK_MONOTONIC, &deadline); }) != 0) return false;
  for (int i = 0; i < kMaxDrain && ::sem_trywait(semaphore_) == 0; ++i) {
  }
  return true;
}

void SemaphoreBell::Interrupt() {
  Ring();
  // sem_post wakes only if the semaphore says that somebody waits, on the kind of futex that it says it is; the peer
  // can write both. The value, at the semaphore's start, is the futex.
  ::syscall(SYS_futex, semaphore_, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
  ::syscall(SYS_futex, semaphore_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, std::numeric_limits<int>::max(), nullptr, nullptr,
            0);
}

}  // namespace nearcall::transport::shm
