// SPDX-License-Identifier: Apache-2.0
//
// old_kernel PROGRAM ARGUMENT...: as on Linux 5.8, the oldest that the README promises. What has come to the kernel
// since then, as far as a program of ours, its C library or its tests ask for it, is refused as that one would.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "support/refused_call.h"

using nearcall::testing::RefuseSystemCalls;

namespace {

constexpr uint32_t kAll = ~uint32_t{0};

// The numbers have been the same on every machine since 5.1, and none was left out.
constexpr long kCloseRange = 436;  // 5.9
constexpr long kFirstNew = 440;    // process_madvise(2), 5.10
constexpr long kLastNew = 480;     // beyond those that there are

constexpr uint32_t kNewMemfdFlags[] = {0x8, 0x10};      // MFD_NOEXEC_SEAL, MFD_EXEC, 6.3
constexpr uint32_t kNewAdvice[] = {22, 23, 24, 25};     // MADV_POPULATE_READ and _WRITE, 5.14, and what came later
constexpr uint32_t kNewSocketOptions[] = {76, 77, 83};  // SO_PASSPIDFD, SO_PEERPIDFD, 6.5; SO_PASSRIGHTS, 6.16

void BecomeOld() {
  RefuseSystemCalls({.number = kCloseRange, .argument = 0, .mask = 0, .value = 0}, ENOSYS);
  for (long number = kFirstNew; number <= kLastNew; ++number) {
    RefuseSystemCalls({.number = number, .argument = 0, .mask = 0, .value = 0}, ENOSYS);
  }
  for (const uint32_t flag : kNewMemfdFlags) {
    RefuseSystemCalls({.number = SYS_memfd_create, .argument = 1, .mask = flag, .value = flag}, EINVAL);
  }
  for (const uint32_t advice : kNewAdvice) {
    RefuseSystemCalls({.number = SYS_madvise, .argument = 2, .mask = kAll, .value = advice}, EINVAL);
  }
  for (const uint32_t option : kNewSocketOptions) {
    RefuseSystemCalls({.number = SYS_getsockopt, .argument = 2, .mask = kAll, .value = option}, ENOPROTOOPT);
    RefuseSystemCalls({.number = SYS_setsockopt, .argument = 2, .mask = kAll, .value = option}, ENOPROTOOPT);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: old_kernel PROGRAM ARGUMENT...\n");
    return 2;
  }
  BecomeOld();
  ::execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return 127;
}
