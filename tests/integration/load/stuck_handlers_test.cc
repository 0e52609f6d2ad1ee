// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>
#include <vector>

#include "fixture.h"
#include "handlers.h"
#include "measured.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using testing::Process;

constexpr char kHandlers[] = "8";
constexpr int kSleepingChannels = 3;
constexpr int kThreadsEach = 6;
constexpr absl::Duration kTime = absl::Seconds(3);
constexpr absl::Duration kPause = absl::Milliseconds(1);

// Threads of several clients whose calls keep all handlers of the server asleep that they may have.
class Sleepers {
 public:
  explicit Sleepers(const std::vector<Echo::Stub>& stubs) {
    for (const Echo::Stub& stub : stubs) {
      for (int i = 0; i < kThreadsEach; ++i) threads_.emplace_back([this, stub] { Run(stub); });
    }
  }
  ~Sleepers() {
    stop_.request_stop();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void Run(const Echo::Stub& stub) {
    const CallOptions options = {.stop_token = stop_.get_token()};
    while (!stop_.stop_requested()) {
      const absl::Status status = stub.Say(MakeBlob(kSleepRequest), options).status();
      EXPECT_TRUE(status.ok() || stop_.stop_requested()) << status;
    }
  }

  std::stop_source stop_;
  std::vector<std::thread> threads_;
};

TEST_F(IntegrationTest, UrgentCallsPassWhileEveryOtherHandlerSleeps) {
  Process server(ECHO_PEER, {"server", Address(), kHandlers});
  ASSERT_EQ(server.ReadLine(), "ready");
  std::vector<Echo::Stub> sleeping;
  for (int i = 0; i < kSleepingChannels; ++i) sleeping.push_back(ConnectStub());
  const Echo::Stub urgent = ConnectStub();
  Measured latency("urgent calls");
  {
    const Sleepers sleepers(sleeping);
    const base::SteadyNs end = base::AfterNow(kTime);
    while (base::NowNs() < end) {
      const base::SteadyNs before = base::NowNs();
      const absl::Status status = urgent.Urgent(MakeBlob("hello")).status();
      latency.Add(static_cast<double>(base::NowNs() - before) / 1e6);
      ASSERT_TRUE(status.ok()) << status;
      absl::SleepFor(kPause);
    }
  }
  latency.Print("ms");
  EXPECT_LE(latency.Percentile(0.99), Strict() ? 2 : 500);
  // Not one of them has waited for a sleeper.
  EXPECT_LT(latency.Percentile(1), 900);
}

}  // namespace
}  // namespace nearcall::integration
