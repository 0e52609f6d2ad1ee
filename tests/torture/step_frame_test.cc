// SPDX-License-Identifier: Apache-2.0

// A client that is killed at every instruction boundary of sending one frame, and of receiving one: the server sees
// the whole frame or nothing, then the hang-up.
#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "fixture.h"
#include "measured.h"
#include "raw_peer.h"
#include "support/sanitizers.h"
#include "torture/stepper.h"

namespace nearcall::integration {
namespace {

using transport::Transport;
using Bytes = std::vector<std::byte>;

constexpr size_t kFrameSize = 100;
constexpr int kLane = 1;

Bytes Frame(int seed) {
  Bytes frame(kFrameSize);
  for (size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  return frame;
}

bool TrySend(Transport& transport, const Bytes& frame) {
  const std::span<std::byte> room = transport.Reserve(frame.size(), kLane);
  if (room.empty()) return false;
  transport.Fill(room, frame);
  transport.Commit();
  transport.Flush();
  transport.Notify();
  return true;
}

bool TryReceive(Transport& transport, Bytes& frame) {
  size_t size = 0;
  if (transport.Peek(size) != Transport::ReadState::kFrame) return false;
  frame.resize(size);
  transport.CopyOut(0, frame);
  transport.Pop();
  transport.Release();
  return true;
}

class StepFrameTest : public IntegrationTest {
 protected:
  void SetUp() override {
    if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: of instructions that a sanitizer has added";
    door_.emplace(Address());
  }

  // Kills the client after so many instructions of its part, or at its end: then there were fewer, and it returns how
  // many.
  template <typename Scenario>
  size_t KillAfter(size_t instructions) {
    SteppedProcess client([](const SteppedProcess::Marker& marker) {
      RawClient peer{Address()};
      Scenario::Client(*peer.connection().transport, marker);
    });
    RawServer server(*door_);
    Transport& transport = *server.connection().transport;
    Scenario::WarmUp(transport);
    EXPECT_TRUE(client.RunToBegin());
    Scenario::FallAsleep(transport);
    const size_t steps = client.Step(instructions);
    client.Kill();
    transport.Disarm();
    ++(Scenario::HasHappened(transport) ? happened_ : nothing_);
    EXPECT_TRUE(transport.error().ok()) << transport.error();
    EXPECT_TRUE(server.PeerHangsUp());
    return steps;
  }

  // At each boundary, or at each of so many.
  template <typename Scenario>
  void KillAtEachBoundary() {
    const size_t stride = TortureCount("NEARCALL_TORTURE_STRIDE", 20);
    size_t instructions = 0;
    while (KillAfter<Scenario>(instructions) == instructions && !HasFailure()) instructions += stride;
    EXPECT_FALSE(HasFailure()) << "killed after " << instructions << " instructions";
    absl::PrintF(
        "[ measured ] %s over %s, about %d instructions: %d kills, %d saw it whole, %d saw nothing, torn: %d\n",
        Scenario::kName, TransportName(), instructions, happened_ + nothing_, happened_, nothing_, HasFailure());
    EXPECT_GT(happened_, 0u);
    EXPECT_GT(nothing_, 0u);
  }

 private:
  std::optional<RawDoor> door_;
  size_t happened_ = 0;
  size_t nothing_ = 0;
};

// To a server that sleeps.
struct Send {
  static constexpr char kName[] = "one send";

  static void Client(Transport& transport, const SteppedProcess::Marker& marker) {
    // Everything is used once before: no symbol is looked up, no page comes for the first time.
    if (!TrySend(transport, Frame(1))) throw std::runtime_error("no room");
    const Bytes frame = Frame(2);
    marker.Begin();
    TrySend(transport, frame);
    marker.End();
  }

  static void WarmUp(Transport& transport) {
    Bytes first;
    EXPECT_TRUE(Eventually([&] { return TryReceive(transport, first); }));
    EXPECT_EQ(first, Frame(1));
  }

  static void FallAsleep(Transport& transport) { EXPECT_FALSE(transport.Arm(Transport::kFrames, 0)); }

  static bool HasHappened(Transport& transport) {
    Bytes second;
    const bool sent = TryReceive(transport, second);
    if (sent) {
      EXPECT_EQ(second, Frame(2));
    }
    EXPECT_FALSE(TryReceive(transport, second)) << "a frame that nobody has sent";
    return sent;
  }
};

// From a server that waits for room.
struct Receive {
  static constexpr char kName[] = "one receive";

  static void Client(Transport& transport, const SteppedProcess::Marker& marker) {
    Bytes frame;
    if (!Eventually([&] { return TryReceive(transport, frame); })) throw std::runtime_error("nothing came");
    marker.Begin();
    TryReceive(transport, frame);
    marker.End();
  }

  static void WarmUp(Transport& transport) { EXPECT_TRUE(TrySend(transport, Frame(1))); }

  static void FallAsleep(Transport& transport) {
    while (TrySend(transport, Frame(2))) {
    }
    EXPECT_FALSE(transport.Arm(Transport::kRoom, kFrameSize));
  }

  // Whether there is room again.
  static bool HasHappened(Transport& transport) { return TrySend(transport, Frame(3)); }
};

TEST_F(StepFrameTest, Send) {
  KillAtEachBoundary<Send>();
}

TEST_F(StepFrameTest, Receive) {
  KillAtEachBoundary<Receive>();
}

}  // namespace
}  // namespace nearcall::integration
