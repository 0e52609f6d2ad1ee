// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "session/inbox.h"
#include "session/outbox.h"
#include "transport/loopback/loopback.h"
#include "unit/session/link.h"

// An Outbox and an Inbox at the two ends of a tiny transport: whatever is sent, kept, offered and withdrawn, in
// whatever order, arrives whole and unchanged or not at all, what is of one flow arrives in order, and the outbox's
// accounts are right at every moment.
namespace nearcall::session {
namespace {

constexpr size_t kMaxPayload = 8;
constexpr size_t kMaxFrame = wire::kHeaderSize + kMaxPayload;

struct Message {
  uint64_t id;
  size_t lane;
  std::string text;

  wire::FrameHeader header() const { return testing::Header(wire::FrameKind::kRequest, id, lane); }
};

// A message on its way by pieces.
struct Lent {
  explicit Lent(Message sent) : message(std::move(sent)), outgoing(message.header(), message.text.size(), kMaxFrame) {
    outgoing.sender = &waiter;
  }

  void LendNext() {
    const size_t size = outgoing.fragmenter.next_frame_size() - wire::kHeaderSize;
    outgoing.piece = testing::AsBytes(message.text).subspan(lent, size);
    lent += size;
  }

  const Message message;
  base::Waiter waiter;
  Outgoing outgoing;
  size_t lent = 0;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed), link_(testing::MakeLink({.max_frame_size = kMaxFrame})) {}

  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      Step();
      CheckAccounts();
    }
    while (!lents_.empty()) EndLent(lents_.begin());
    for (int i = 0; i < 100'000 && (!testing::PumpAll(outbox_) || !link_.server.transport->PeerHasReadAll()); ++i)
      Receive();
    while (Receive()) {
    }
    CheckAccounts();
    EXPECT_TRUE(expected_.empty()) << expected_.size() << " messages did not arrive";
    EXPECT_EQ(outbox_.frames_sent(), inbox_.frames_received());
    EXPECT_EQ(inbox_.bytes_held(), 0u);
  }

 private:
  using Lents = std::map<uint64_t, std::unique_ptr<Lent>>;

  size_t Roll(size_t sides) { return random_() % sides; }

  Message MakeMessage(size_t max_size) {
    Message message{++last_id_, Roll(base::kLanes), std::string(Roll(max_size + 1), '\0')};
    for (char& letter : message.text) letter = static_cast<char>('a' + Roll(26));
    return message;
  }

  void Step() {
    switch (Roll(9)) {
      case 0:
        return TrySend(MakeMessage(kMaxPayload));
      case 1:
        return Keep(MakeMessage(5 * kMaxPayload));
      case 2:
        return StartLent(MakeMessage(5 * kMaxPayload));
      case 3:
        if (!lents_.empty()) GoOn(*PickLent());
        return;
      case 4:
        if (Roll(4) == 0 && !lents_.empty()) Withdraw(PickLent());
        return;
      case 5:
        testing::PumpAll(outbox_);
        return;
      case 6:
        outbox_.Pump();
        return;
      default:
        Receive();
    }
  }

  void Expect(const Message& message) { expected_[message.id] = message.text; }

  void TrySend(const Message& message) {
    const auto write = [&](std::span<std::byte> to) {
      ASSERT_EQ(to.size(), message.text.size());
      std::copy_n(testing::AsBytes(message.text).begin(), to.size(), to.begin());
    };
    if (outbox_.TrySend(message.header(), message.text.size(), write)) Expect(message);
  }

  void Keep(const Message& message) {
    Expect(message);
    kept_.insert(message.id);
    auto outgoing = testing::Kept(message.header(), message.text, kMaxFrame);
    const size_t flow = Roll(kFlows + 1);
    if (flow < kFlows) {
      outgoing->flow = &flows_[message.lane][flow];
      flow_of_[message.id] = outgoing->flow;
    }
    outbox_.Keep(std::move(outgoing));
  }

  void StartLent(Message message) {
    const uint64_t id = message.id;
    Expect(message);
    const auto lent = lents_.emplace(id, std::make_unique<Lent>(std::move(message))).first;
    GoOn(*lent);
  }

  Lents::iterator PickLent() { return std::next(lents_.begin(), static_cast<std::ptrdiff_t>(Roll(lents_.size()))); }

  void GoOn(Lents::value_type& entry) {
    Lent& lent = *entry.second;
    if (outbox_.Waits(lent.outgoing) || lent.outgoing.fragmenter.done()) return;
    lent.LendNext();
    outbox_.Offer(lent.outgoing);
  }

  void Withdraw(Lents::iterator which) {
    Lent& lent = *which->second;
    outbox_.Withdraw(lent.outgoing);
    EXPECT_FALSE(outbox_.Waits(lent.outgoing));
    if (!lent.outgoing.fragmenter.done()) expected_.erase(which->first);
    lents_.erase(which);
  }

  void EndLent(Lents::iterator which) {
    for (int i = 0; i < 100'000 && !which->second->outgoing.fragmenter.done(); ++i) {
      for (auto& lent : lents_) GoOn(lent);
      testing::PumpAll(outbox_);
      Receive();
    }
    EXPECT_TRUE(which->second->outgoing.fragmenter.done()) << "stuck";
    lents_.erase(which);
  }

  // Takes one frame at the other end. False: there was none.
  bool Receive() {
    const Inbox::Event event = inbox_.Next(message_);
    EXPECT_NE(event, Inbox::Event::kBroken) << inbox_.error();
    inbox_.Release();
    if (event == Inbox::Event::kMessage) {
      const auto found = expected_.find(message_.header.call_id);
      EXPECT_NE(found, expected_.end()) << "message " << message_.header.call_id << " came twice, or after its abort";
      if (found == expected_.end()) return false;
      EXPECT_EQ(testing::AsText(std::as_const(message_.bytes).bytes()), found->second);
      kept_.erase(found->first);
      expected_.erase(found);
      CheckOrder(message_.header.call_id);
    }
    return event != Inbox::Event::kEmpty && event != Inbox::Event::kBroken;
  }

  void CheckOrder(uint64_t id) {
    const auto flow = flow_of_.find(id);
    if (flow == flow_of_.end()) return;
    uint64_t& last = last_of_[flow->second];
    EXPECT_LT(last, id) << "overtaken by another one of its flow";
    last = id;
  }

  void CheckAccounts() {
    const bool any_lent_waits =
        std::any_of(lents_.begin(), lents_.end(), [&](auto& lent) { return outbox_.Waits(lent.second->outgoing); });
    if (any_lent_waits) {
      EXPECT_TRUE(outbox_.has_waiting());
    }
    if (outbox_.RoomWanted() != 0) {
      EXPECT_TRUE(outbox_.has_waiting());
    }
    if (outbox_.held().kept() != 0) {
      EXPECT_TRUE(outbox_.has_waiting());
    }
    // What has arrived is not kept any more; what is kept has not arrived.
    size_t not_arrived = 0;
    for (const uint64_t id : kept_) not_arrived += expected_[id].size();
    EXPECT_LE(outbox_.held().kept(), not_arrived);
    if (!outbox_.has_waiting()) {
      EXPECT_EQ(outbox_.held().kept(), 0u);
    }
  }

  static constexpr size_t kFlows = 2;  // in each lane

  std::mt19937_64 random_;
  testing::Link link_;
  std::array<std::array<Flow, kFlows>, base::kLanes> flows_;
  std::map<uint64_t, const Flow*> flow_of_;
  std::map<const Flow*, uint64_t> last_of_;
  Outbox outbox_{*link_.client.transport, testing::kClientId};
  Inbox inbox_{*link_.server.transport, testing::kClientId, 1 << 20};
  wire::Message message_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::string> expected_;
  std::set<uint64_t> kept_;
  Lents lents_;
};

TEST(OutboxPropertyTest, WhateverIsSentArrivesWholeOrNotAtAll) {
  const uint64_t seed = std::random_device()();
  for (uint64_t i = 0; i < 40 && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(seed + i);
    World(seed + i).Run(1500);
  }
}

// Many threads send by pieces, each the way a blocking call does, while one pumps and one receives.
TEST(OutboxPropertyTest, ManyThreadsSendAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kMessages = 200;
  testing::Link link = testing::MakeLink({.max_frame_size = kMaxFrame, .capacity_frames = 3});
  Outbox outbox(*link.client.transport, testing::kClientId);
  testing::ScriptedPeer peer(std::move(link.server));
  std::atomic<int> senders{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kMessages; ++j) {
        const size_t size = static_cast<size_t>(j) * 7 % 50;
        Lent lent(
            Message{static_cast<uint64_t>(i * kMessages + j + 1), static_cast<size_t>(i), std::string(size, 'x')});
        while (!lent.outgoing.fragmenter.done()) {
          lent.LendNext();
          if (outbox.Offer(lent.outgoing)) continue;
          while (outbox.Waits(lent.outgoing)) lent.waiter.Wait(testing::Patience());
        }
      }
      --senders;
    });
  }
  std::thread pump([&] {
    while (senders.load() != 0) {
      if (!outbox.Pump()) std::this_thread::yield();
    }
    testing::PumpAll(outbox);
  });
  std::set<uint64_t> ids;
  for (int i = 0; i < kThreads * kMessages; ++i) {
    const auto received = peer.Receive();
    ASSERT_TRUE(received);
    EXPECT_TRUE(ids.insert(received->header.call_id).second);
  }
  for (std::thread& thread : threads) thread.join();
  pump.join();
  EXPECT_FALSE(outbox.has_waiting());
}

}  // namespace
}  // namespace nearcall::session
