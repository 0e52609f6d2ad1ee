// SPDX-License-Identifier: Apache-2.0
#include "bench/pair.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/syscall.h"

namespace nearcall::bench {

Pair::~Pair() {
  ::kill(pid_, SIGKILL);
  base::Retry([&] { return ::waitpid(pid_, nullptr, 0); });
}

void Pair::Fork(int cpu, const std::function<void()>& answer) {
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Pin(cpu);
  for (;;) answer();
}

void Wait(sem_t& semaphore) {
  base::Retry([&] { return ::sem_wait(&semaphore); });
}

}  // namespace nearcall::bench
