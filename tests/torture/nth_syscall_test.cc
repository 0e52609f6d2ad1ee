// SPDX-License-Identifier: Apache-2.0

// The n-th system call fails, for every n, on any thread of the process.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "support/sanitizers.h"
#include "torture/every_nth.h"

namespace nearcall::integration {
namespace {

// What cannot fail, or whose failure changes nothing, is our libc's affair, or not told by an error (brk).
constexpr std::array kNeverFail = {
    SYS_futex,           SYS_exit,
    SYS_exit_group,      SYS_rt_sigaction,
    SYS_rt_sigprocmask,  SYS_rt_sigreturn,
    SYS_munmap,          SYS_madvise,
    SYS_clock_gettime,   SYS_clock_nanosleep,
    SYS_nanosleep,       SYS_sched_yield,
    SYS_getpid,          SYS_gettid,
    SYS_geteuid,         SYS_getuid,
    SYS_getegid,         SYS_getgid,
    SYS_prctl,           SYS_rseq,
    SYS_getcpu,          SYS_set_robust_list,
    SYS_close,           SYS_tgkill,
    SYS_alarm,           SYS_ioctl,
    SYS_seccomp,         SYS_brk,
    SYS_timerfd_settime,
};

// The error that it is most likely to fail with.
int ErrorOf(int number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_read:
    case SYS_preadv2:
      return EINTR;
    case SYS_clone:
    case SYS_clone3:
      return EAGAIN;
    case SYS_accept4:
    case SYS_dup:
    case SYS_epoll_create1:
    case SYS_eventfd2:
    case SYS_memfd_create:
    case SYS_mq_open:
    case SYS_open:
    case SYS_openat:
    case SYS_pidfd_open:
    case SYS_pipe2:
    case SYS_socket:
    case SYS_timerfd_create:
      return EMFILE;
    default:
      return ENOMEM;
  }
}

// Some calls cannot fail by what they are asked for: to add to the count of an eventfd that nobody exhausts (nothing
// else is a write of eight bytes), and to change or end a watch in epoll.
bool CanFail(const seccomp_data& call) {
  if (call.nr == SYS_write) return call.args[2] != sizeof(uint64_t);
  return call.nr != SYS_epoll_ctl || call.args[1] == EPOLL_CTL_ADD;
}

// A seccomp filter asks a thread of ours about each system call (SECCOMP_RET_USER_NOTIF); it lets all but one pass.
class FailingSystemCall final : public Fault {
 public:
  FailingSystemCall() {
    void* memory = ::mmap(nullptr, sizeof(*failed_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    failed_ = new (memory) std::atomic<int>(-1);
  }
  ~FailingSystemCall() override { ::munmap(failed_, sizeof(*failed_)); }

  absl::string_view what() const override { return "system calls"; }

  void Prepare() override {
    // Before the filter, which it is not subject to. It ends with the process.
    std::thread([this] { Supervise(); }).detach();
    InstallFilter();
    installed_.release();
  }

  void Arm(size_t n) override { left_ = static_cast<long>(n); }
  bool Disarm() override { return left_.exchange(kOff) <= 0; }
  std::string Describe() const override {
    return absl::StrCat("system call ", failed_->load(), " with errno ", ErrorOf(failed_->load()));
  }

 private:
  static constexpr long kOff = 1L << 60;

  void InstallFilter() {
    std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const long number : kNeverFail) {
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
      filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
    const sock_fprog program = {.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    listener_ =
        static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
    if (listener_ < 0) throw std::runtime_error("seccomp");
  }

  void Supervise() {
    installed_.acquire();
    for (;;) {
      seccomp_notif call{};
      if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;  // its thread has been interrupted
      seccomp_notif_resp answer{.id = call.id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
      if (left_.load() < kOff / 2 && CanFail(call.data) && left_.fetch_sub(1) == 1) {
        failed_->store(call.data.nr);
        answer.flags = 0;
        answer.error = -ErrorOf(call.data.nr);
      }
      ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
  }

  std::atomic<int>* failed_;
  int listener_ = -1;
  std::binary_semaphore installed_{0};
  std::atomic<long> left_{kOff};
};

TEST_F(IntegrationTest, EveryNthSystemCallFails) {
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer makes system calls of its own";
  FailingSystemCall fault;
  FailEveryNth(fault);
}

}  // namespace
}  // namespace nearcall::integration
