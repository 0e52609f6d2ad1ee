// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "fixture.h"
#include "measured.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using testing::Process;

constexpr size_t kThreads = 64;
constexpr absl::Duration kTime = absl::Seconds(2);

TEST_F(IntegrationTest, CallersOfOneChannelShareIt) {
  Process server(ECHO_PEER, {"server", Address(), "256"});
  ASSERT_EQ(server.ReadLine(), "ready");
  const Echo::Stub stub = ConnectStub();
  std::atomic<bool> stop{false};
  std::vector<std::atomic<size_t>> calls(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Blob reply;
      while (!stop) {
        EXPECT_TRUE(stub.Say(MakeBlob("hello"), &reply).ok());
        ++calls[i];
      }
    });
  }
  absl::SleepFor(kTime);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const auto [least, most] = std::minmax_element(calls.begin(), calls.end(), [](auto& a, auto& b) { return a < b; });
  size_t all = 0;
  for (const auto& count : calls) all += count;
  const double ratio = static_cast<double>(*most) / static_cast<double>(std::max<size_t>(1, *least));
  std::cout << "[ measured ] " << kThreads << " threads on one channel: " << *least << " to " << *most
            << " calls each, ratio " << ratio << ", all together "
            << static_cast<double>(all) / absl::ToDoubleSeconds(kTime) << "/s\n";
  EXPECT_GT(*least, 0u);
  EXPECT_LE(ratio, Strict() ? 1.5 : 20);
}

}  // namespace
}  // namespace nearcall::integration
