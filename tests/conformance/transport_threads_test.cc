// SPDX-License-Identifier: Apache-2.0

// The parts of the contract that need two threads or two processes.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <thread>

#include "conformance/harness.h"
#include "support/sanitizers.h"
#include "support/temporary_directory.h"

namespace nearcall::transport::conformance {
namespace {

// Of all rounds one in so many, where each takes ten times as long.
constexpr int kShare = nearcall::testing::kSanitizers ? 4 : 1;

class TransportThreads : public ::testing::TestWithParam<Maker> {
 protected:
  void SetUp() override {
    absl::StatusOr<TransportPair> pair = GetParam().make();
    ASSERT_TRUE(pair.ok()) << pair.status();
    client_ = std::move(pair->client);
    server_ = std::move(pair->server);
  }

  nearcall::testing::NameDirectory names_;
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

INSTANTIATE_TEST_SUITE_P(All, TransportThreads, ::testing::ValuesIn(AllTransports()),
                         [](const auto& test) { return test.param.name; });

TEST_P(TransportThreads, Rule1BothDirectionsAtOnce) {
  constexpr size_t kCount = 10'000 / kShare;
  std::thread server([&] { BlockingEnd(*server_).Exchange(kCount, 2, 1); });
  BlockingEnd(*client_).Exchange(kCount, 1, 2);
  server.join();
}

TEST_P(TransportThreads, Rule6NoWakeUpIsLostInBlockingRoundTrips) {
  constexpr uint64_t kRoundTrips = 20'000 / kShare;
  std::thread server([&] {
    BlockingEnd end(*server_);
    for (uint64_t i = 0; i < kRoundTrips; ++i) end.Send(end.Receive());
  });
  BlockingEnd end(*client_);
  for (uint64_t i = 0; i < kRoundTrips; ++i) {
    const Bytes frame = Pattern(1 + i % 200, i);
    end.Send(frame);
    EXPECT_EQ(end.Receive(), frame);
  }
  server.join();
}

TEST_P(TransportThreads, Rule6NoWakeUpIsLostWhileWaitingForRoom) {
  constexpr uint64_t kCount = 5'000 / kShare;
  const size_t size = client_->max_frame_size();
  std::thread server([&] {
    BlockingEnd end(*server_);
    for (uint64_t i = 0; i < kCount; ++i) EXPECT_EQ(end.Receive(), Pattern(size, i));
  });
  BlockingEnd end(*client_);
  for (uint64_t i = 0; i < kCount; ++i) end.Send(Pattern(size, i));
  server.join();
}

// Two threads that do one thing each, at the same time, again and again for a while.
class Together {
 public:
  // `one` and `other` in each round at once; then `check` alone.
  template <typename One, typename Other, typename Check>
  void Run(One&& one, Other&& other, Check&& check) {
    std::thread thread([&] {
      for (int round = 1; Await(started_, round) != kEnd; ++round) {
        other();
        finished_.store(round, std::memory_order_release);
      }
    });
    const base::SteadyNs end = base::NowNs() + kTimeNs;
    for (int round = 1; base::NowNs() < end; ++round) {
      started_.store(round, std::memory_order_release);
      // The other thread starts later, and has more to do before it comes to the point.
      Delay(round % 1500);
      one();
      Await(finished_, round);
      check();
    }
    started_.store(kEnd, std::memory_order_release);
    thread.join();
  }

 private:
  // Some 100,000 rounds on an idle machine.
  static constexpr int64_t kTimeNs = 300'000'000;
  static constexpr int kEnd = std::numeric_limits<int>::max();

  static int Await(const std::atomic<int>& counter, int round) {
    for (int looks = 1;; ++looks) {
      const int value = counter.load(std::memory_order_acquire);
      if (value >= round) return value;
      if (looks % 1000 == 0) std::this_thread::yield();
    }
  }

  // Moves the two against each other by some nanoseconds.
  static void Delay(int steps) {
    for (volatile int i = 0; i < steps;) i = i + 1;
  }

  alignas(128) std::atomic<int> started_{0};
  alignas(128) std::atomic<int> finished_{0};
};

// The store of one and the load of the other must not both come too late: what takes days to happen in a program.
TEST_P(TransportThreads, Rule6WhoeverArmsSeesTheFrameOrIsSeen) {
  // Large, and written through the cache: the stores of the frame hold up that of the index behind them.
  const Bytes frame = Pattern(std::min<size_t>(client_->max_frame_size(), 4000), 1);
  bool there = false;
  bool woken = false;
  Sleeper sleeper(*server_);
  Together().Run([&] { there = sleeper.Arm(Transport::kFrames, 0); },
                 [&] {
                   // Its line is in this cache, so that the look is over long before the stores are.
                   EXPECT_GE(client_->peer_cpu(), -1);
                   TrySend(*client_, frame);
                   woken = client_->Notify();
                 },
                 [&] {
                   // Where the kernel wakes, Notify() does not tell.
                   if (!there && !woken) {
                     EXPECT_TRUE(sleeper.Wait(base::NowNs() + 1'000'000'000)) << "for ever";
                   }
                   server_->Disarm();
                   EXPECT_EQ(TryReceive(*server_), frame);
                   server_->Release();
                 });
}

TEST_P(TransportThreads, Rule6WhoeverArmsForRoomSeesItOrIsSeen) {
  if (!client_->can_spin() && GetParam().lanes == Maker::Lanes::kInTurn) GTEST_SKIP() << "the kernel sees both";
  const Bytes frame = Pattern(client_->max_frame_size(), 1);
  while (TrySend(*client_, frame)) {
  }
  bool there = false;
  Sleeper sleeper(*client_);
  Together().Run([&] { there = sleeper.Arm(Transport::kRoom, frame.size()); },
                 [&] {
                   TryReceive(*server_);
                   server_->Release();
                 },
                 [&] {
                   // Rung or not, nothing of this round's bell is left for the next one.
                   const bool rung = sleeper.Wait(there ? base::NowNs() : base::NowNs() + 1'000'000'000);
                   EXPECT_TRUE(there || rung) << "it would sleep for ever";
                   client_->Disarm();
                   EXPECT_TRUE(TrySend(*client_, frame));
                 });
}

// One thread writes while another one reads and sleeps, at the same end.
TEST_P(TransportThreads, Rule6OneThreadWritesWhileAnotherOneSleeps) {
  constexpr uint64_t kCount = 5'000 / kShare;
  std::thread server([&] {
    BlockingEnd end(*server_);
    for (uint64_t i = 0; i < kCount; ++i) end.Send(end.Receive());
  });
  std::thread writer([&] {
    for (uint64_t i = 0; i < kCount; ++i) {
      while (!TrySend(*client_, Pattern(100, i))) std::this_thread::yield();
      client_->Notify();
    }
    while (!client_->Flush()) std::this_thread::yield();
  });
  Sleeper sleeper(*client_);
  for (uint64_t i = 0; i < kCount;) {
    if (const auto frame = TryReceive(*client_)) {
      EXPECT_EQ(*frame, Pattern(100, i++));
      client_->Release();
    } else {
      // Now and then room is of interest too, where the answer depends on what the writing thread does meanwhile.
      const uint32_t room = i % 2 == 0 ? Transport::kRoom : 0U;
      sleeper.Sleep(Transport::kFrames | room, client_->max_frame_size(), base::kNever);
    }
  }
  writer.join();
  server.join();
  EXPECT_EQ(client_->error(), absl::OkStatus());
}

TEST_P(TransportThreads, Rule6InterruptEndsTheNextWait) {
  client_->Interrupt();
  ASSERT_FALSE(client_->Arm(Transport::kFrames, 0));
  client_->Wait(base::kNever);
  client_->Disarm();
}

TEST_P(TransportThreads, Rule6InterruptEndsEachPresentWait) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_FALSE(client_->Arm(Transport::kFrames, 0));
    std::thread other([&] { client_->Interrupt(); });
    client_->Wait(base::kNever);
    other.join();
    client_->Disarm();
  }
}

TEST_P(TransportThreads, Rule6InterruptOfAnEndThatDoesNotWaitIsHarmless) {
  server_->Interrupt();
  server_->Interrupt();
  ASSERT_TRUE(TrySend(*client_, Pattern(10, 1)));
  EXPECT_EQ(TryReceive(*server_), Pattern(10, 1));
}

// Every system call but exit() ends the process with SIGSYS.
void ForbidSystemCalls() {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  }};
  sock_fprog filter{.len = program.size(), .filter = program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(2);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(3);
}

// False if the frame does not arrive at once.
bool Carry(Transport& from, Transport& to, Bytes& frame) {
  size_t size = 0;
  from.Fill(from.Reserve(frame.size(), 1), frame);
  from.Commit();
  from.Notify();
  if (to.Peek(size) != Transport::ReadState::kFrame || size != frame.size()) return false;
  to.CopyOut(0, frame);
  to.Pop();
  to.Release();
  return true;
}

[[noreturn]] void RunWithoutSystemCalls(const Maker& maker) {
  const absl::StatusOr<TransportPair> pair = maker.make();
  Bytes frame = Pattern(64, 1);
  bool arrived = true;
  ForbidSystemCalls();
  for (int i = 0; i < 1000 && arrived; ++i) {
    arrived = Carry(*pair->client, *pair->server, frame) && Carry(*pair->server, *pair->client, frame);
  }
  // exit(2) alone: exit_group(2) is not allowed.
  for (;;) ::syscall(SYS_exit, arrived ? 0 : 1);
}

TEST_P(TransportThreads, Rule5ABusyConnectionMakesNoSystemCall) {
  if (nearcall::testing::kSanitizers) GTEST_SKIP() << "sanitizers make system calls of their own: UBSan's a pipe";
  if (!client_->can_spin()) GTEST_SKIP() << "only where looking costs no system call";
  EXPECT_EXIT(RunWithoutSystemCalls(GetParam()), ::testing::ExitedWithCode(0), "");
}

TEST_P(TransportThreads, Rule9AForkedChildMayDestroyWhatItInherited) {
  const pid_t child = ::fork();
  if (child == 0) {
    client_.reset();
    server_.reset();
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(TrySend(*client_, Pattern(10, 1)));
  EXPECT_EQ(TryReceive(*server_), Pattern(10, 1));
}

}  // namespace
}  // namespace nearcall::transport::conformance
