// SPDX-License-Identifier: Apache-2.0

// A client that takes a long time over each reply gets all of them, and others do not wait for it.
#include <algorithm>
#include <vector>

#include "fixture.h"
#include "measured.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

constexpr size_t kReplySize = 30'000;
constexpr uint64_t kCalls = 12;

// The bytes of one frame's payload and which call it belongs to; how much of the reply is there after it.
void TakeFrame(RawClient& client, std::vector<size_t>& received) {
  const wire::FrameHeader header = client.Receive();
  ASSERT_EQ(header.status, 0);
  ASSERT_LE(header.call_id, kCalls);
  received[header.call_id] += header.payload_size;
}

TEST_F(IntegrationTest, ASlowReaderGetsEverythingAndOthersDoNotWait) {
  echo.say = [](ServerContext&, const Blob&, Blob& reply) {
    reply.set_data(std::string(kReplySize, 'r'));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  RawClient slow(Address());
  wire::FrameHeader header = slow.Header(wire::FrameKind::kRequest, 0);
  for (uint64_t i = 1; i <= kCalls; ++i) {
    header.sequence = header.call_id = i;
    slow.Send(header);
  }
  const Echo::Stub other = ConnectStub();
  Measured beside("call of another client beside a slow reader");
  std::vector<size_t> received(kCalls + 1);
  const auto all = [&] { return *std::min_element(received.begin() + 1, received.end()) >= kReplySize; };
  while (!all() && !HasFailure()) {
    const absl::Time begun = absl::Now();
    EXPECT_TRUE(other.MayBlock(MakeBlob("other"), {.timeout = kLong}).ok());
    beside.Add(absl::ToDoubleMicroseconds(absl::Now() - begun));
    TakeFrame(slow, received);
  }
  beside.Print("us");
  EXPECT_EQ(NumberIn(server->DebugString(), "violations: "), 0u);
}

}  // namespace
}  // namespace nearcall::integration
