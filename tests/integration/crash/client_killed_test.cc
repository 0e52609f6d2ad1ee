// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "handlers.h"
#include "measured.h"
#include "support/leak_check.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using testing::Process;
using testing::Resources;

constexpr char kThreads[] = "64";
constexpr size_t kUnanswered = 16;  // of them

// A client process with many threads in calls is killed, again and again, and the server is rid of it.
// NEARCALL_TORTURE_ROUNDS says how often.
TEST_F(IntegrationTest, AKilledClientLeavesNothingInTheServer) {
  const size_t rounds = TortureCount("NEARCALL_TORTURE_ROUNDS", 20);
  Holding holding;
  echo.may_block = holding.handler();
  const auto server = StartServer();
  const Echo::Stub survivor = ConnectStub();
  Must(survivor.Say(MakeBlob("hello")));
  const Resources alone = Resources::Now();
  Measured told("from kill -9 of the client to the end of its last handler");
  Measured gone("from kill -9 of the client to the end of its connection");
  for (size_t round = 0; round < rounds && !HasFailure(); ++round) {
    Process client(ECHO_PEER, {"callers", Address(), kThreads});
    ASSERT_EQ(client.ReadLine(), "busy");
    ASSERT_TRUE(holding.WaitFor(kUnanswered));
    const base::SteadyNs killed = base::NowNs();
    client.StartKill();
    EXPECT_TRUE(holding.WaitFor(0)) << server->DebugString();
    told.Add(static_cast<double>(base::NowNs() - killed) / 1e6);
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; })) << server->DebugString();
    EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "poller: ") == 1; })) << server->DebugString();
    gone.Add(static_cast<double>(base::NowNs() - killed) / 1e6);
    client.Kill();
    EXPECT_TRUE(Eventually([&] { return Resources::Now().descriptors.size() == alone.descriptors.size(); }));
    EXPECT_EQ(Resources::Now().mappings.size(), alone.mappings.size());
    EXPECT_EQ(Resources::Now().names, alone.names);
    EXPECT_TRUE(survivor.Say(MakeBlob("hello")).ok());
  }
  told.Print("ms");
  gone.Print("ms");
  EXPECT_LE(told.Percentile(0.99), Strict() ? 5 : 5000);
}

}  // namespace
}  // namespace nearcall::integration
