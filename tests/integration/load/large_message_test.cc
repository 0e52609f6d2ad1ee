// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "measured.h"
#include "support/process.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using testing::Process;

// Larger than a ring, so that both sides wait for room in each call.
//
// A wake-up that got lost would be made good by the longest sleep of a waiting thread only, 100 ms later.
class LargeMessage : public IntegrationTest, public ::testing::WithParamInterface<absl::Duration> {
 protected:
  static constexpr size_t kCalls = 300;

  static void Expect(const Measured& latency) {
    latency.Print("ms");
    // Under ThreadSanitizer it takes half as long by itself.
    EXPECT_LT(latency.Percentile(0.5), testing::kThreadSanitizer ? 90 : 50);
    EXPECT_LT(latency.Percentile(1), Strict() ? 90 : 5000);
  }
};

TEST_P(LargeMessage, WaitsForRoomAreEndedByTheRoom) {
  Process server(ECHO_PEER, {"server", Address(), "256"});
  ASSERT_EQ(server.ReadLine(), "ready");
  const Echo::Stub stub = ConnectStub({.max_spin = GetParam()});
  const Blob request = MakeBlob(std::string(200'000, 'x'));
  Measured latency("200 kB echo");
  for (size_t i = 0; i < kCalls; ++i) {
    const base::SteadyNs before = base::NowNs();
    const auto reply = stub.Say(request);
    latency.Add(static_cast<double>(base::NowNs() - before) / 1e6);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->data(), request.data());
  }
  Expect(latency);
}

TEST_P(LargeMessage, CallbacksComeWhenTheReplyDoes) {
  Process server(ECHO_PEER, {"server", Address(), "256"});
  ASSERT_EQ(server.ReadLine(), "ready");
  const Echo::AsyncStub stub(Connect({.max_spin = GetParam()}));
  const Blob request = MakeBlob(std::string(200'000, 'x'));
  Measured latency("200 kB echo by callback");
  Counter ended;
  for (size_t i = 0; i < kCalls; ++i) {
    const base::SteadyNs before = base::NowNs();
    stub.Say(request, [&](const absl::StatusOr<Blob>& reply) {
      EXPECT_TRUE(reply.ok() && reply->data() == request.data()) << reply.status();
      ended.Add();
    });
    ended.WaitFor(i + 1);
    latency.Add(static_cast<double>(base::NowNs() - before) / 1e6);
  }
  Expect(latency);
}

INSTANTIATE_TEST_SUITE_P(Spin, LargeMessage, ::testing::Values(absl::ZeroDuration(), absl::Microseconds(50)),
                         [](const auto& spin) { return spin.param == absl::ZeroDuration() ? "Never" : "Usual"; });

}  // namespace
}  // namespace nearcall::integration
