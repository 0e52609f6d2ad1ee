// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace nearcall::testing {

// The calls of system call `number` of which argument `argument`, its lower 32 bits masked with `mask`, is `value`.
struct SystemCalls {
  long number;
  int argument;
  uint32_t mask;
  uint32_t value;
};

// From now on `action` of seccomp(2) is taken on them, in this thread and those that it starts. For a child process:
// nothing undoes it.
inline void FilterSystemCalls(const SystemCalls& calls, uint32_t action) {
  const auto argument = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(calls.argument));
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(calls.number), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, calls.mask),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls.value, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    ::abort();
  }
}

// They fail with `error`.
inline void RefuseSystemCalls(const SystemCalls& calls, int error) {
  FilterSystemCalls(calls, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error));
}

// The first of them ends the process, before it has an effect.
inline void DieAtSystemCalls(const SystemCalls& calls) {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  FilterSystemCalls(calls, SECCOMP_RET_KILL_PROCESS);
}

}  // namespace nearcall::testing
