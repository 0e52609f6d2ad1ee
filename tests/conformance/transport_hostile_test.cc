// SPDX-License-Identifier: Apache-2.0

// The hostile part of what a transport is: rule 7 of transport/transport.h, and what it means for the other rules. A
// peer may break its own connection and nothing else: no other one of this process, no deadline, and no bound of
// memory.

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "conformance/harness.h"
#include "conformance/hostile.h"
#include "support/temporary_directory.h"
#include "transport/transport_table.h"

namespace nearcall::transport::conformance {
namespace {

constexpr uint64_t kSeed = 7;

struct HostileCase {
  Maker maker;
  Side hostile;
};

std::vector<HostileCase> AllCases() {
  std::vector<HostileCase> cases;
  for (const Maker& maker : AllTransports()) {
    if (maker.attack == Maker::kNotAttacked) continue;
    for (const Side side : {Side::kClient, Side::kServer}) cases.push_back({maker, side});
  }
  return cases;
}

std::string NameOf(const HostileCase& one) {
  return one.maker.name + (one.hostile == Side::kClient ? "_hostile_client" : "_hostile_server");
}

void PrintTo(const HostileCase& one, std::ostream* out) {
  *out << NameOf(one);
}

// Ends the program if it lives for too long: somebody hangs who never may.
class Watchdog {
 public:
  Watchdog() : thread_([this] { Watch(); }) {}
  ~Watchdog() {
    done_.set_value();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Watch() {
    if (done_.get_future().wait_for(std::chrono::seconds(100)) == std::future_status::ready) return;
    std::fprintf(stderr, "a hostile peer holds up its victim\n");
    std::abort();
  }

  std::promise<void> done_;
  std::thread thread_;
};

// What malloc(3) has given out. Under a sanitizer always the same.
size_t AllocatedBytes() {
  return ::mallinfo2().uordblks;
}

class TransportUnderAttack : public ::testing::TestWithParam<HostileCase> {
 protected:
  void SetUp() override {
    absl::StatusOr<TransportPair> pair = GetParam().maker.make();
    ASSERT_TRUE(pair.ok()) << pair.status();
    bystanders_ = *std::move(pair);
    Connect();
  }

  void TearDown() override {
    if (!HasFatalFailure()) CheckBystanders();
  }

  // A new connection to attack.
  void Connect() {
    sleeper_.reset();
    victim_.reset();
    hostile_.reset();
    absl::StatusOr<Assault> assault = GetParam().maker.attack(GetParam().hostile);
    ASSERT_TRUE(assault.ok()) << assault.status();
    victim_ = std::move(assault->victim);
    hostile_ = std::move(assault->hostile);
    sleeper_ = std::make_unique<Sleeper>(*victim_);
  }

  // The other connection of the process works, in both directions.
  void CheckBystanders() {
    for (int i = 0; i < 2; ++i, std::swap(bystanders_.client, bystanders_.server)) {
      const Bytes frame = Pattern(100, ++bystanders_sent_);
      ASSERT_TRUE(TrySend(*bystanders_.client, frame));
      ASSERT_EQ(TryReceive(*bystanders_.server), frame);
      bystanders_.server->Release();
    }
  }

  // All that a session does with its end, once. False if it is broken; then it says why.
  bool UseVictim(base::SteadyNs sleep_ns = 0) {
    Transport& victim = *victim_;
    if (!victim.Flush() || !TrySend(victim, Pattern(100, 1))) sleeper_->Sleep(Transport::kRoom, 100, base::NowNs());
    victim.Notify();
    victim.Ring();
    victim.PeerHasReadAll();
    EXPECT_GE(victim.peer_cpu(), -1);
    for (int i = 0; i < 16; ++i) {
      size_t size = 0;
      const Transport::ReadState state = victim.Peek(size);
      if (state == Transport::ReadState::kBroken) return SaysWhyItIsBroken();
      if (state == Transport::ReadState::kEmpty) break;
      EXPECT_GE(size, 1U);
      EXPECT_LE(size, victim.max_frame_size());
      Bytes frame(size);
      victim.CopyOut(0, frame);
      victim.Pop();
    }
    victim.Release();
    sleeper_->Sleep(Transport::kFrames, 0, base::AddNs(base::NowNs(), sleep_ns));
    return true;
  }

  // Always false.
  bool SaysWhyItIsBroken() {
    size_t size = 0;
    EXPECT_EQ(victim_->Peek(size), Transport::ReadState::kBroken) << "not for good";
    EXPECT_EQ(victim_->error().code(), absl::StatusCode::kInternal) << victim_->error();
    EXPECT_FALSE(victim_->error().message().empty());
    return false;
  }

  // Does `attack` again and again on a thread of its own until this object ends.
  class Assailant {
   public:
    explicit Assailant(std::function<void()> attack)
        : thread_([this, attack = std::move(attack)] {
            while (!stop_) {
              attack();
              begun_ = true;
            }
          }) {
      while (!begun_) std::this_thread::yield();
    }
    ~Assailant() {
      stop_ = true;
      thread_.join();
    }
    Assailant(const Assailant&) = delete;
    Assailant& operator=(const Assailant&) = delete;

   private:
    std::atomic<bool> stop_{false};
    std::atomic<bool> begun_{false};
    std::thread thread_;
  };

  const Watchdog watchdog_;
  nearcall::testing::NameDirectory names_;
  TransportPair bystanders_;
  uint64_t bystanders_sent_ = 0;
  std::unique_ptr<HostileEnd> hostile_;
  std::unique_ptr<Transport> victim_;
  std::unique_ptr<Sleeper> sleeper_;
};

INSTANTIATE_TEST_SUITE_P(All, TransportUnderAttack, ::testing::ValuesIn(AllCases()),
                         [](const auto& test) { return NameOf(test.param); });

TEST_P(TransportUnderAttack, GarbageBreaksNothingButTheConnection) {
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 100; ++round) {
    Connect();
    if (HasFatalFailure()) return;
    bool works = true;
    for (int i = 0; i < 20 && works; ++i) {
      if (random() % 2 == 0) {
        TrySend(hostile_->transport(), Pattern(1 + random() % hostile_->transport().max_frame_size(), random()));
      }
      hostile_->Scribble(random(), Pattern(1 + random() % 64, random()));
      works = UseVictim();
    }
    // What is broken stays so, and stays harmless.
    for (int i = 0; i < 3 && !works; ++i) EXPECT_FALSE(UseVictim()) << "seed " << kSeed << ", round " << round;
    if (HasFailure()) return;
  }
}

TEST_P(TransportUnderAttack, GarbageThatKeepsComingBreaksNothingButTheConnection) {
  std::mt19937_64 random(kSeed);
  const Assailant assailant([&] { hostile_->Scribble(random(), Pattern(1 + random() % 64, random())); });
  for (int i = 0; i < 200 && !HasFatalFailure(); ++i) {
    UseVictim();
    CheckBystanders();
  }
}

TEST_P(TransportUnderAttack, AViolationIsNoticedAndNamed) {
  hostile_->Violate();
  EXPECT_FALSE(UseVictim());
  EXPECT_TRUE(absl::StrContains(victim_->error().message(), GetParam().maker.name)) << victim_->error();
  EXPECT_TRUE(absl::StrContains(victim_->error().message(), "expected")) << victim_->error();
  EXPECT_FALSE(UseVictim()) << "for good";
}

TEST_P(TransportUnderAttack, WhoDoesNotReadCostsNeitherTimeNorMemory) {
  const Bytes frame = Pattern(victim_->max_frame_size(), 1);
  while (TrySend(*victim_, frame)) {
  }
  const size_t before = AllocatedBytes();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(victim_->Reserve(frame.size(), 0).empty());
    victim_->Flush();
    victim_->Notify();
  }
  EXPECT_FALSE(sleeper_->Sleep(Transport::kRoom, frame.size(), base::AddNs(base::NowNs(), 1'000'000)));
  EXPECT_LE(AllocatedBytes(), before + (64 << 10));
}

TEST_P(TransportUnderAttack, AFloodLeavesTheOthersTheirTurnAndCostsNoMemory) {
  const Bytes frame = Pattern(hostile_->transport().max_frame_size(), 1);
  const Assailant assailant([&] {
    if (!hostile_->transport().Flush() || !TrySend(hostile_->transport(), frame)) std::this_thread::yield();
    hostile_->transport().Notify();
  });
  size_t before = 0;
  for (int i = 0; i < 1000 && !HasFatalFailure(); ++i) {
    EXPECT_TRUE(UseVictim()) << victim_->error();
    CheckBystanders();
    if (i == 100) before = AllocatedBytes();
  }
  EXPECT_LE(AllocatedBytes(), before + (1 << 20));
}

TEST_P(TransportUnderAttack, WhoRingsForEverMakesNobodyMissADeadline) {
  const Assailant assailant([&] { hostile_->transport().Ring(); });
  for (int i = 0; i < 10; ++i) {
    const base::SteadyNs until = base::AddNs(base::NowNs(), 10'000'000);
    // A wake-up may come without reason, and means "look".
    while (sleeper_->Sleep(Transport::kFrames, 0, until)) {
      size_t size = 0;
      ASSERT_EQ(victim_->Peek(size), Transport::ReadState::kEmpty);
      if (base::NowNs() >= until) break;
    }
  }
  CheckBystanders();
}

TEST_P(TransportUnderAttack, WhoVanishesAtAnyMomentHarmsNobody) {
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 50; ++round) {
    Connect();
    if (HasFatalFailure()) return;
    for (uint64_t i = random() % 8; i > 0; --i) {
      TrySend(hostile_->transport(), Pattern(1 + random() % hostile_->transport().max_frame_size(), i));
      UseVictim();
    }
    hostile_.reset();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(UseVictim(/*sleep_ns=*/100'000)) << victim_->error();
  }
}

// Nothing that can be made to wait holds up a server; a client it may hold up until it is interrupted, as it is when
// its connection ends.
TEST_P(TransportUnderAttack, WhoIsObstructedCanBeInterrupted) {
  hostile_->Obstruct();
  std::promise<void> done;
  std::future<void> is_done = done.get_future();
  std::thread user([&] {
    for (int i = 0; i < 10; ++i) UseVictim(/*sleep_ns=*/100'000);
    done.set_value();
  });
  if (GetParam().hostile == Side::kServer) {
    while (is_done.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) victim_->Interrupt();
  }
  user.join();
}

// A transport that is not attacked here is none.
TEST(TransportTable, EachTransportIsAttacked) {
  const nearcall::testing::NameDirectory names;
  for (const TransportRow& row : Transports()) {
    const std::vector<Maker> all = AllTransports();
    const auto maker = std::find_if(all.begin(), all.end(), [&](const Maker& one) { return one.name == row.name; });
    ASSERT_NE(maker, all.end()) << row.name;
    ASSERT_NE(maker->attack, Maker::kNotAttacked) << row.name;
    for (const Side side : {Side::kClient, Side::kServer}) {
      const absl::StatusOr<Assault> assault = maker->attack(side);
      ASSERT_TRUE(assault.ok()) << assault.status();
      EXPECT_EQ(assault->victim->name(), row.name);
    }
  }
}

}  // namespace
}  // namespace nearcall::transport::conformance
