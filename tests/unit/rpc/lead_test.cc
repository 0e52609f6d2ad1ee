// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/lead.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/limits.h"

namespace nearcall::rpc {
namespace {

using Duty = Lead::Duty;

// One that leads and one that stands by.
class LeadTest : public ::testing::Test {
 protected:
  LeadTest() {
    EXPECT_EQ(lead_.Next(first_), Duty::kLead);
    EXPECT_EQ(lead_.Next(second_), Duty::kStandBy);
  }

  // As if something had rung.
  bool Wake(Lead::ThreadId thread) { return lead_.Awake(thread, /*woken=*/true, /*rung=*/true); }

  static base::SteadyNs LongAgo() { return base::NowNs() - base::kBlockingHandlerNs; }

  Lead lead_;
  const Lead::ThreadId first_ = lead_.Join();
  const Lead::ThreadId second_ = lead_.Join();
  BlockingHabit habit_;
};

TEST_F(LeadTest, OneStandsByAndOthersLeave) {
  EXPECT_EQ(lead_.Next(lead_.Join()), Duty::kLeave);
}

TEST_F(LeadTest, NewsIsLeftToALeaderWhoIsAtWork) {
  EXPECT_FALSE(lead_.NoteNews());
  EXPECT_TRUE(lead_.has_news());
  EXPECT_FALSE(lead_.FallAsleep());
  lead_.ForgetNews();
  EXPECT_TRUE(lead_.FallAsleep());
  EXPECT_TRUE(lead_.NoteNews());
}

TEST_F(LeadTest, WhoIsWokenTakesTheLeadFromOneThatSleeps) {
  EXPECT_TRUE(lead_.FallAsleep());
  EXPECT_EQ(lead_.Next(first_), Duty::kStandBy);
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
}

TEST_F(LeadTest, WhoIsWokenTakesTheLeadFromOneInALongHandler) {
  EXPECT_FALSE(lead_.EnterHandler(LongAgo(), &habit_));
  // And nobody stands by any more.
  EXPECT_TRUE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
  EXPECT_FALSE(lead_.LeaveHandler(first_));
  EXPECT_EQ(lead_.Next(first_), Duty::kStandBy);
}

TEST_F(LeadTest, ThatIsHowAMethodIsFoundToBlock) {
  EXPECT_FALSE(lead_.EnterHandler(LongAgo(), &habit_));
  EXPECT_TRUE(Wake(second_));
  EXPECT_TRUE(habit_.blocks());
}

TEST_F(LeadTest, AHandlerThatBeginsWithNewsUnreadHasItSeenTo) {
  EXPECT_FALSE(lead_.NoteNews());
  EXPECT_TRUE(lead_.EnterHandler(base::NowNs(), nullptr));
}

TEST_F(LeadTest, AHandlerThatWaitsLeadsOn) {
  EXPECT_FALSE(lead_.EnterHandler(LongAgo(), nullptr));
  EXPECT_EQ(lead_.LeadOn(first_), Lead::LedOn::kLeads);
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kStandBy);
  // What had rung is for the leader.
  EXPECT_TRUE(lead_.GoOn(base::NowNs()));
  EXPECT_TRUE(lead_.LeaveHandler(first_));
}

TEST_F(LeadTest, AHandlerThatWaitsGivesTheLeadAway) {
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_EQ(lead_.StopHandler(first_), Lead::Stopped::kLeads);
  lead_.GiveAway();
  // Whoever is woken is the next: he does not stand by.
  EXPECT_TRUE(lead_.NeedsAnother());
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
  EXPECT_EQ(lead_.StopHandler(first_), Lead::Stopped::kNo);
  EXPECT_FALSE(lead_.LeaveHandler(first_));
}

TEST_F(LeadTest, AHandlerThatWaitsLeavesTheLeadToNobodyWhereAllWillRing) {
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_EQ(lead_.StopHandler(first_), Lead::Stopped::kLeads);
  EXPECT_TRUE(lead_.FallAsleepInHandler());
  EXPECT_TRUE(lead_.NeedsAnother());
  // Somebody has to be woken for it.
  EXPECT_TRUE(lead_.NoteNews());
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
}

TEST_F(LeadTest, NewsKeepsItFromThat) {
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_FALSE(lead_.LeadOn(first_) == Lead::LedOn::kNo);
  EXPECT_FALSE(lead_.NoteNews());
  EXPECT_FALSE(lead_.FallAsleepInHandler());
}

TEST_F(LeadTest, AHandlerThatWaitsAgainTakesTheLeadFromOneThatSleeps) {
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_EQ(lead_.StopHandler(first_), Lead::Stopped::kLeads);
  EXPECT_TRUE(lead_.FallAsleepInHandler());
  EXPECT_EQ(lead_.LeadOn(first_), Lead::LedOn::kTakes);
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kStandBy);
  EXPECT_TRUE(lead_.LeaveHandler(first_));
}

TEST_F(LeadTest, ButNotFromOneThatIsAtWork) {
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_EQ(lead_.StopHandler(first_), Lead::Stopped::kLeads);
  lead_.GiveAway();
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
  EXPECT_EQ(lead_.LeadOn(first_), Lead::LedOn::kNo);
}

TEST_F(LeadTest, WhereTheOthersAreInHandlersTooSomebodyElseIsNeeded) {
  EXPECT_FALSE(lead_.EnterHandler(LongAgo(), nullptr));
  EXPECT_EQ(lead_.Look().free_threads(), 1u);
  EXPECT_TRUE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
  lead_.ForgetNews();
  EXPECT_FALSE(lead_.EnterHandler(base::NowNs(), nullptr));
  EXPECT_EQ(lead_.Look().free_threads(), 0u);
  EXPECT_EQ(lead_.LeadOn(second_), Lead::LedOn::kNo);
  EXPECT_EQ(lead_.StopHandler(second_), Lead::Stopped::kAlone);
}

TEST_F(LeadTest, TheNextOneIsWokenWhenTheLeaderLeaves) {
  EXPECT_TRUE(lead_.Leave(first_));
  EXPECT_EQ(lead_.Look().serving, 1u);
  EXPECT_FALSE(lead_.Awake(second_, /*woken=*/true, /*rung=*/false));
  EXPECT_EQ(lead_.Next(second_), Duty::kLead);
}

TEST_F(LeadTest, AllLeaveAtTheEnd) {
  lead_.Stop();
  EXPECT_FALSE(Wake(second_));
  EXPECT_EQ(lead_.Next(second_), Duty::kLeave);
  EXPECT_EQ(lead_.Next(first_), Duty::kLeave);
  EXPECT_TRUE(lead_.Leave(second_));
  EXPECT_TRUE(lead_.Leave(first_));
  EXPECT_EQ(lead_.Look().serving, 0u);
}

}  // namespace
}  // namespace nearcall::rpc
