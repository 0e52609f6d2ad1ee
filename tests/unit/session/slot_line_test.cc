// SPDX-License-Identifier: Apache-2.0
#include "session/slot_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "unit/session/link.h"

namespace nearcall::session {
namespace {

using ::testing::HasSubstr;

class SlotLineTest : public ::testing::Test {
 protected:
  void TakeSlot() { calls_.Insert(calls_in_flight_[calls_.in_use()]); }
  void GiveBackSlot() {
    ClientCall& call = calls_in_flight_[calls_.in_use() - 1];
    calls_.TakeAnswered(call.id);
    calls_.Release(call, call.reply.bytes);
  }

  testing::Link link_ = testing::MakeLink();
  Outbox outbox_{*link_.client.transport, 1};
  CallTable calls_{2};
  SlotLine line_{calls_, outbox_, 64};
  std::array<ClientCall, 2> calls_in_flight_;
  Waiting low_, normal_, later_, urgent_;
  const ServerName server_{"shm:echo", "shm", {}};
};

TEST_F(SlotLineTest, WithASlotWhoComesBegins) {
  EXPECT_TRUE(line_.IsNext(normal_, 1));
  TakeSlot();
  EXPECT_TRUE(line_.IsNext(normal_, 1));
  TakeSlot();
  EXPECT_FALSE(line_.IsNext(normal_, 1));
  EXPECT_EQ(line_.Next(), nullptr);
  EXPECT_THAT(line_.WhyFull(server_), HasSubstr("2 calls to shm:echo are in flight"));
}

// It waits behind those of its own lane and above, and not behind low ones.
TEST_F(SlotLineTest, AnUrgentCallDoesNotWaitBehindLowOnes) {
  TakeSlot();
  TakeSlot();
  line_.Stand(low_, 0);
  line_.Stand(normal_, 1);
  line_.Stand(later_, 1);
  line_.Stand(urgent_, 3);
  GiveBackSlot();
  for (Waiting* next : {&urgent_, &normal_, &later_, &low_}) {
    EXPECT_EQ(line_.Next(), next);
    SlotLine::Leave(*next);
  }
  EXPECT_EQ(line_.Next(), nullptr);
}

TEST_F(SlotLineTest, ANewcomerOvertakesLowerLanesOnly) {
  line_.Stand(normal_, 1);
  Waiting newcomer;
  EXPECT_FALSE(line_.IsNext(newcomer, 0));
  EXPECT_FALSE(line_.IsNext(newcomer, 1));
  EXPECT_TRUE(line_.IsNext(newcomer, 2));
  EXPECT_TRUE(line_.IsNext(normal_, 1));
  EXPECT_EQ(line_.Next(), &normal_);
  SlotLine::Leave(normal_);
}

TEST_F(SlotLineTest, WhoStandsAlreadyKeepsHisPlaceUnlessHeChangesTheLane) {
  line_.Stand(normal_, 1);
  line_.Stand(later_, 1);
  line_.Stand(normal_, 1);
  EXPECT_EQ(line_.Next(), &normal_);
  line_.Stand(later_, 2);
  EXPECT_EQ(line_.Next(), &later_);
  line_.Stand(later_, 0);
  EXPECT_EQ(line_.Next(), &normal_);
  SlotLine::Leave(normal_);
  EXPECT_EQ(line_.Next(), &later_);
  SlotLine::Leave(later_);
}

TEST_F(SlotLineTest, BytesThatWaitForRoomKeepNewCallsOut) {
  const std::string text(200, 'x');
  outbox_.Keep(
      testing::Kept(testing::Header(wire::FrameKind::kRequest, 1, 1), text, link_.client.transport->max_frame_size()));
  ASSERT_GT(outbox_.held().all(), 64u);
  EXPECT_FALSE(line_.IsNext(normal_, 1));
  EXPECT_THAT(line_.WhyFull(server_), HasSubstr("200 B of requests to shm:echo wait for room in the shm transport"));
}

// Against a list that is searched: among all who stand, the highest lane and in it the earliest is next.
TEST_F(SlotLineTest, WhateverTheyDoTheHighestAndEarliestIsNext) {
  std::mt19937 random(7);
  std::array<Waiting, 6> people;
  std::vector<std::pair<size_t, Waiting*>> standing;
  const auto leave = [&](Waiting* who) {
    standing.erase(std::remove_if(standing.begin(), standing.end(), [&](const auto& one) { return one.second == who; }),
                   standing.end());
  };
  for (int i = 0; i < 5000; ++i) {
    Waiting& who = people[random() % people.size()];
    const size_t lane = random() % base::kLanes;
    if (random() % 3 == 0) {
      SlotLine::Leave(who);
      leave(&who);
    } else {
      line_.Stand(who, lane);
      const auto is_there = [&](const auto& one) { return one.second == &who && one.first == lane; };
      if (std::none_of(standing.begin(), standing.end(), is_there)) {
        leave(&who);
        standing.emplace_back(lane, &who);
      }
    }
    const auto first = std::max_element(standing.begin(), standing.end(),
                                        [](const auto& a, const auto& b) { return a.first < b.first; });
    ASSERT_EQ(line_.Next(), first == standing.end() ? nullptr : first->second) << "step " << i;
  }
  for (Waiting& who : people) SlotLine::Leave(who);
}

}  // namespace
}  // namespace nearcall::session
