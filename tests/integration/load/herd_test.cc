// SPDX-License-Identifier: Apache-2.0

// Clients that come all at once: a server that starts, or starts again, has as many as there are.
#include <iostream>
#include <latch>
#include <thread>
#include <vector>

#include "fixture.h"
#include "measured.h"
#include "support/descriptor_limit.h"
#include "support/process.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using testing::Process;

// Of message queues a system has 256 (fs.mqueue.queues_max), and a client needs two.
size_t HerdSize() {
  if (testing::kSanitizers) return 50;
  return TransportName() == "mq" ? 100 : 500;
}

class HerdTest : public IntegrationTest {
 protected:
  // All at once, each on a thread of its own. How many milliseconds it takes.
  static double ConnectAll(size_t count, std::vector<std::shared_ptr<Channel>>& channels) {
    channels.clear();
    channels.resize(count);
    std::latch start(static_cast<std::ptrdiff_t>(count) + 1);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        auto channel = Channel::Connect(Address(), {.connect_timeout = kLong});
        EXPECT_TRUE(channel.ok()) << channel.status();
        if (channel.ok()) channels[i] = *std::move(channel);
      });
    }
    const base::SteadyNs begin = base::NowNs();
    start.arrive_and_wait();
    for (std::thread& thread : threads) thread.join();
    return static_cast<double>(base::NowNs() - begin) / 1e6;
  }
};

TEST_F(HerdTest, AllWhoComeAtOnceAreLetIn) {
  testing::RaiseDescriptorLimit();
  const size_t count = HerdSize();
  Process server(ECHO_PEER, {"server", Address(), "256", std::to_string(count)});
  ASSERT_EQ(server.ReadLine(), "ready");
  Measured herds(std::to_string(count) + " clients at once, until the last is connected");
  std::vector<std::shared_ptr<Channel>> channels;
  for (int i = 0; i < 10; ++i) {
    herds.Add(ConnectAll(count, channels));
    // The same user may have so many and no more, so these have to be gone before the next ones come.
    channels.clear();
    EXPECT_TRUE(Eventually([&] {
      server.WriteLine("how many?");
      return absl::StrContains(server.ReadLine(), "poller: 0 connections");
    }));
  }
  herds.Print("ms");
  EXPECT_LE(herds.Percentile(1), Strict() ? 1'000 : 20'000);
  EXPECT_EQ(server.End(), 0);
}

// Their channels do not come again all together, nor ever again at the same moment.
TEST_F(HerdTest, AllWhoHaveLostTheirServerAreLetInByTheNext) {
  testing::RaiseDescriptorLimit();
  const size_t count = HerdSize() / 5;
  const std::vector<std::string> arguments = {"server", Address(), "256", std::to_string(count)};
  auto server = std::make_unique<Process>(ECHO_PEER, arguments);
  ASSERT_EQ(server->ReadLine(), "ready");
  std::vector<std::shared_ptr<Channel>> channels;
  ConnectAll(count, channels);
  server->Kill();
  std::vector<Pending> calls;
  for (const auto& channel : channels) {
    calls.push_back(SayAsync(Echo::Stub(channel), "hello", {.timeout = kLong, .wait_for_ready = true}));
  }
  server = std::make_unique<Process>(ECHO_PEER, arguments);
  ASSERT_EQ(server->ReadLine(), "ready");
  const base::SteadyNs begin = base::NowNs();
  for (Pending& call : calls) {
    const absl::Status status = call.get().status();
    // The one that was under way when the server died may have been executed.
    EXPECT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
  }
  std::cout << "[ measured ] " << count << " clients of a server that starts again are all served after "
            << (base::NowNs() - begin) / 1'000'000 << " ms\n";
  EXPECT_EQ(server->End(), 0);
}

}  // namespace
}  // namespace nearcall::integration
