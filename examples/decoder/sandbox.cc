// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace decoder {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// What a server of Nearcall's over shared memory does, and malloc, threads, and the end of a process.
constexpr long kMemory[] = {SYS_brk,        SYS_mmap,      SYS_munmap,       SYS_mremap,    SYS_mprotect,
                            SYS_madvise,    SYS_ftruncate, SYS_memfd_create, SYS_fallocate, SYS_fcntl,
                            SYS_newfstatat, SYS_fstat,     SYS_fstatfs};
constexpr long kDescriptors[] = {
    SYS_read,      SYS_write,       SYS_readv,          SYS_writev,         SYS_close,
    SYS_dup,       SYS_ppoll,       SYS_ioctl,          SYS_eventfd2,       SYS_epoll_create1,
    SYS_epoll_ctl, SYS_epoll_pwait, SYS_timerfd_create, SYS_timerfd_settime};
constexpr long kSocket[] = {SYS_sendto,     SYS_recvfrom,   SYS_sendmsg,    SYS_recvmsg,     SYS_shutdown,
                            SYS_socketpair, SYS_getsockopt, SYS_setsockopt, SYS_getpeername, SYS_pidfd_open};
constexpr long kThreads[] = {SYS_futex,
                             SYS_set_robust_list,
                             SYS_rseq,
                             SYS_sched_yield,
                             SYS_sched_getaffinity,
                             SYS_getcpu,
                             SYS_rt_sigprocmask,
                             SYS_rt_sigaction,
                             SYS_rt_sigreturn,
                             SYS_sigaltstack,
                             SYS_prctl,
                             SYS_exit};
constexpr long kProcess[] = {SYS_clock_gettime,   SYS_clock_nanosleep, SYS_getrandom, SYS_prlimit64,
                             SYS_restart_syscall, SYS_getpid,          SYS_gettid,    SYS_getuid,
                             SYS_geteuid,         SYS_getgid,          SYS_getegid,   SYS_exit_group};
#if defined(__x86_64__)
constexpr long kOlder[] = {SYS_poll, SYS_epoll_wait};
#else
constexpr long kOlder[] = {SYS_ppoll};
#endif

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

uint32_t Argument(size_t number) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * number);  // its lower half
}

// `accept` is reached if the system call is `number` and what `check` says; else it goes on behind them.
void AppendRule(std::vector<sock_filter>& filter, long number, const std::vector<sock_filter>& check) {
  filter.push_back(
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, static_cast<uint8_t>(check.size())));
  filter.insert(filter.end(), check.begin(), check.end());
}

std::vector<sock_filter> MakeFilter() {
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  for (const auto& allowed :
       {std::span<const long>(kMemory), std::span<const long>(kDescriptors), std::span<const long>(kSocket),
        std::span<const long>(kThreads), std::span<const long>(kProcess), std::span<const long>(kOlder)}) {
    for (const long number : allowed) AppendRule(filter, number, {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
  }
  // Threads, and no processes. What clone3 is asked for cannot be seen here; without it libc takes clone.
  AppendRule(filter, SYS_clone3, {BPF_STMT(BPF_RET | BPF_K, kUnknown)});
  AppendRule(filter, SYS_clone,
             {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, Argument(0)), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, kRefuse)});
  // Signals to itself: abort(3).
  AppendRule(filter, SYS_tgkill,
             {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, Argument(0)),
              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(::getpid()), 0, 1),
              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, kRefuse)});
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, kRefuse));
  return filter;
}

absl::Status Failed(const char* what) {
  return absl::ErrnoToStatus(errno, std::string("cannot enter the sandbox: ") + what);
}

// No access to any file, for there is no rule that gives one. True: the kernel has it.
bool RestrictFiles() {
  landlock_ruleset_attr all{};
  all.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  const long rules = ::syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
  if (rules < 0) return false;
  const bool restricted = ::syscall(SYS_landlock_restrict_self, rules, 0) == 0;
  ::close(static_cast<int>(rules));
  return restricted;
}

}  // namespace

absl::Status EnterSandbox() {
  // A crash is nothing to look at: the input is in the parent.
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return Failed("setrlimit");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("PR_SET_NO_NEW_PRIVS");
  if (!RestrictFiles() && errno != ENOSYS && errno != EOPNOTSUPP) return Failed("Landlock");
  std::vector<sock_filter> filter = MakeFilter();
  const sock_fprog program = {.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return Failed("seccomp");
  return absl::OkStatus();
}

}  // namespace decoder
