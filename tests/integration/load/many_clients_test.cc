// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "fixture.h"
#include "measured.h"
#include "support/descriptor_limit.h"
#include "support/process.h"
#include "support/sanitizers.h"
#include "support/usage.h"

namespace nearcall::integration {
namespace {

using testing::Process;
using testing::Usage;

// Under a sanitizer a process is large and slow. Of message queues a system has 256 (fs.mqueue.queues_max), and a
// client needs two.
size_t ClientCount() {
  if (testing::kSanitizers) return 50;
  return TransportName() == "mq" ? 100 : 200;
}

constexpr char kCallsEach[] = "100";
constexpr absl::Duration kSettle = absl::Seconds(1);
constexpr absl::Duration kIdle = absl::Seconds(2);

void ExpectAllServed(std::vector<std::unique_ptr<Process>>& clients) {
  for (const auto& client : clients) EXPECT_EQ(client->ReadLine(), "served");
}

TEST_F(IntegrationTest, ManyClientProcessesAreServedAtOnceAndCostNothingWhileTheyIdle) {
  const size_t count = ClientCount();
  testing::RaiseDescriptorLimit();
  Process server(ECHO_PEER, {"server", Address(), "256", std::to_string(count)});
  ASSERT_EQ(server.ReadLine(), "ready");
  const base::SteadyNs begin = base::NowNs();
  std::vector<std::unique_ptr<Process>> clients;
  for (size_t i = 0; i < count; ++i) {
    const std::vector<std::string> arguments = {"client", Address(), kCallsEach};
    clients.push_back(std::make_unique<Process>(ECHO_PEER, arguments));
  }
  ExpectAllServed(clients);
  const base::SteadyNs connected = base::NowNs();
  for (const auto& client : clients) client->WriteLine("again");
  ExpectAllServed(clients);
  const base::SteadyNs served = base::NowNs();

  absl::SleepFor(kSettle);
  const Usage before = Usage::Of(server.pid());
  absl::SleepFor(kIdle);
  const Usage after = Usage::Of(server.pid());
  const double cpu_ms = after.CpuMsSince(before);
  const int64_t switches = after.ContextSwitchesSince(before);
  std::cout << "[ measured ] " << count << " clients started, connected and served " << kCallsEach << " calls in "
            << (connected - begin) / 1'000'000
            << " ms; the same calls again, all at once: " << (served - connected) / 1'000'000
            << " ms\n[ measured ] idle for " << kIdle << ": " << cpu_ms << " ms of CPU, " << switches
            << " context switches\n";
  EXPECT_LE(cpu_ms, Strict() ? 2 : 20);
  EXPECT_LE(switches, Strict() ? 20 : 200);

  for (const auto& client : clients) EXPECT_EQ(client->End(), 0);
  EXPECT_EQ(server.End(), 0);
}

}  // namespace
}  // namespace nearcall::integration
