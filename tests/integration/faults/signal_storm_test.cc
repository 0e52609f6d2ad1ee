// SPDX-License-Identifier: Apache-2.0

// Signals without SA_RESTART at 10 kHz to each thread of either side: every system call is interrupted all the time.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <string>

#include "child.h"
#include "fixture.h"
#include "measured.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

constexpr long kPeriodNs = 100'000;

std::atomic<size_t> signals{0};

// To every thread that this process has. A thread that blocks the signal, as the runtime's monitor does, is spared.
class Storm {
 public:
  Storm() {
    struct sigaction action {};
    action.sa_handler = [](int) { signals.fetch_add(1, std::memory_order_relaxed); };
    if (::sigaction(SIGUSR1, &action, nullptr) != 0) throw std::runtime_error("sigaction");
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() {
    for (const timer_t timer : timers_) ::timer_delete(timer);
  }

  // Includes the threads that have been made since the last time.
  void Spread() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      const pid_t thread = std::stoi(task.path().filename());
      if (threads_.insert(thread).second) Start(thread);
    }
  }

 private:
  void Start(pid_t thread) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = thread;
    timer_t timer{};
    const itimerspec period{.it_interval = {.tv_sec = 0, .tv_nsec = kPeriodNs},
                            .it_value = {.tv_sec = 0, .tv_nsec = kPeriodNs}};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return;  // the thread has just ended
    timers_.push_back(timer);
    if (::timer_settime(timer, 0, &period, nullptr) != 0) throw std::runtime_error("timer_settime");
  }

  std::set<pid_t> threads_;
  std::vector<timer_t> timers_;
};

void CallInAllSizes(const Echo::Stub& stub, const Echo::AsyncStub& async) {
  Counter ends;
  for (const size_t size : {0u, 100u, 5'000u, 20'000u, 300'000u, 3'000'000u}) {
    const auto check = [size](const absl::StatusOr<Blob>& reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      EXPECT_TRUE(reply.ok() && reply->data() == std::string(size, 'x')) << "of " << size << " bytes";
    };
    const Blob request = MakeBlob(std::string(size, 'x'));
    async.Say(request,
              [check, &ends](const absl::StatusOr<Blob>& reply) {
                check(reply);
                ends.Add();
              },
              {.timeout = kLong});
    check(stub.Say(request, {.timeout = kLong}));
    check(stub.MayBlock(request, {.timeout = kLong}));
  }
  ends.WaitFor(6);
}

TEST_F(IntegrationTest, NoCallFailsInAStormOfSignals) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "NOT TESTED: it catches the signals, and delivers them when it likes";
  const size_t rounds = TortureCount("NEARCALL_TORTURE_ROUNDS", 3);
  Child server([this](Link& parent) {
    Storm storm;
    storm.Spread();
    auto started = StartServer();
    parent.Tell();
    while (!parent.Await().empty()) {
      storm.Spread();
      parent.Tell(std::to_string(signals));
    }
  });
  Child client([rounds](Link& parent) {
    parent.Await();
    Storm storm;
    for (size_t i = 0; i < rounds; ++i) {
      storm.Spread();
      const auto channel = Must(Channel::Connect(Address()));
      storm.Spread();
      for (int j = 0; j < 4; ++j) CallInAllSizes(Echo::Stub(channel), Echo::AsyncStub(channel));
      parent.Tell(std::to_string(signals));
    }
  });
  ASSERT_FALSE(server.link().Await().empty());
  client.link().Tell();
  std::string client_signals;
  std::string server_signals;
  Event over;
  std::thread spread([&] {
    while (!over.is_set()) {
      server.link().Tell();
      server_signals = server.link().Await();
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  // Each round by itself: all of them may take longer than Await() is ready to wait.
  for (size_t i = 0; i < rounds; ++i) client_signals = client.link().Await();
  over.Set();
  spread.join();
  EXPECT_EQ(client.Join(), 0);
  server.link().Close();
  EXPECT_EQ(server.Join(), 0);
  std::printf("[ measured ] signals handled by the client: %s, by the server: %s\n", client_signals.c_str(),
              server_signals.c_str());
  EXPECT_GT(std::atol(client_signals.c_str()), 100);
  EXPECT_GT(std::atol(server_signals.c_str()), 100);
}

}  // namespace
}  // namespace nearcall::integration
