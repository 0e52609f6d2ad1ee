// SPDX-License-Identifier: Apache-2.0

// After it has connected, a client needs few system calls: a strict seccomp filter that kills for any other lets it
// make every kind of call.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <vector>

#include "child.h"
#include "fixture.h"
#include "measured.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

// Waiting and moving bytes, the clock, what malloc and the end of a process need, and the first steps of a thread that
// exists already. No file, socket, mapping of a
// file, thread or process can be made.
constexpr std::array kAllowed = {
    SYS_futex,
    SYS_read,
    SYS_write,
    SYS_poll,
    SYS_ppoll,
    SYS_epoll_wait,
    SYS_epoll_pwait,
    SYS_epoll_ctl,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendto,
    SYS_recvfrom,
    SYS_preadv2,
    SYS_readv,
    SYS_writev,
    SYS_mq_timedsend,
    SYS_mq_timedreceive,
    SYS_mq_getsetattr,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_pidfd_open,
    SYS_timerfd_settime,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_sched_yield,
    SYS_getcpu,
    SYS_brk,
    SYS_munmap,
    SYS_madvise,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_close,
    SYS_dup3,
    SYS_shutdown,
    SYS_exit,
    SYS_rseq,
    SYS_set_robust_list,
    SYS_prctl,
    SYS_exit_group,
};

// A call that is allowed if a comparison of the 32 bits at `offset` with `value` gives `outcome`, else kills.
void AllowIf(std::vector<sock_filter>& filter, long number, size_t offset, uint16_t comparison, uint32_t value,
             bool outcome) {
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 4));
  filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  const auto jump = static_cast<uint16_t>(BPF_JMP | comparison | BPF_K);
  filter.push_back(BPF_JUMP(jump, value, static_cast<uint8_t>(outcome ? 0 : 1), static_cast<uint8_t>(outcome ? 1 : 0)));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

// Of this thread and those of its process: anything else kills the process.
void BeStrict() {
  std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long number : kAllowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // Memory for malloc: no file, nothing that can be executed.
  AllowIf(filter, SYS_mmap, offsetof(seccomp_data, args[4]), BPF_JEQ, static_cast<uint32_t>(-1), true);
  AllowIf(filter, SYS_ioctl, offsetof(seccomp_data, args[1]), BPF_JEQ, FIONREAD, true);  // fifo asks so
  AllowIf(filter, SYS_mprotect, offsetof(seccomp_data, args[2]), BPF_JSET, PROT_EXEC, false);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program = {.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    throw std::runtime_error("seccomp");
  }
}

void CallStrictly(Link& parent) {
  parent.Await();
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);  // an arena that shrinks asks /proc for the system's policy
  const auto channel = Must(Channel::Connect(Address()));
  const Echo::Stub stub(channel);
  const Echo::AsyncStub async(channel);
  Counter ends;
  const auto done = [&ends](const absl::StatusOr<Blob>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    ends.Add();
  };
  // The channel's thread exists while there is a call for it.
  async.MayBlock(MakeBlob("held"), [](absl::StatusOr<Blob>) {});
  async.Say(MakeBlob(""), done);
  ends.WaitFor(1);
  BeStrict();
  const size_t calls = TortureCount("NEARCALL_TORTURE_CALLS", 10'000);
  for (size_t i = 0; i < calls; ++i) {
    const std::string data(i % 100 == 0 ? 300'000 : i % 5'000, 'x');
    if (i % 10 == 0) async.Say(MakeBlob(data), done, {.timeout = kLong});
    const auto reply = stub.Say(MakeBlob(data), {.timeout = kLong});
    EXPECT_TRUE(reply.ok() && reply->data() == data) << reply.status();
  }
  ends.WaitFor(1 + calls / 10);
  // The deadline's path, too.
  EXPECT_EQ(stub.MayBlock(MakeBlob(""), {.timeout = absl::Milliseconds(20)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  parent.Tell("all");
}

TEST_F(IntegrationTest, AClientUnderAStrictSeccompFilterMakesItsCalls) {
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer makes system calls of its own";
  Child client(CallStrictly);
  Event may_end;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  client.link().Tell();
  EXPECT_EQ(client.link().Await(), "all");
  EXPECT_EQ(client.Join(), 0);
  may_end.Set();
}

}  // namespace
}  // namespace nearcall::integration
