// SPDX-License-Identifier: Apache-2.0
#include "session/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/quota.h"
#include "base/waiter.h"
#include "transport/loopback/loopback.h"
#include "unit/session/frames.h"
#include "unit/session/link.h"
#include "unit/session/spy_transport.h"

namespace nearcall::session {
namespace {

using testing::Describe;
using testing::DescribeAll;
using ::testing::ElementsAre;
using testing::Frame;
using ::testing::IsEmpty;
using testing::PumpAll;
using testing::TakeFrame;

constexpr uint32_t kSourceId = 77;
constexpr size_t kMaxPayload = 4;
constexpr size_t kMaxFrame = wire::kHeaderSize + kMaxPayload;
constexpr size_t kLow = 0;
constexpr size_t kNormal = 1;
constexpr size_t kUrgent = 3;

// A message that is sent by pieces, as a blocking call does it.
class Lent {
 public:
  Lent(uint64_t call_id, size_t lane, std::string text)
      : message(testing::Header(wire::FrameKind::kRequest, call_id, lane), text.size(), kMaxFrame),
        text_(std::move(text)) {
    message.sender = &waiter;
  }

  // Lends the next frame's payload.
  Outgoing& Next() {
    message.piece = testing::AsBytes(text_).subspan(offset_, message.fragmenter.next_frame_size() - wire::kHeaderSize);
    offset_ += message.piece.size();
    return message;
  }

  // Whether its sender has been woken; waits for that at most until `end`.
  bool IsPoked(base::SteadyNs end) {
    waiter.Wait(end);
    return base::NowNs() < end;
  }

  base::Waiter waiter;
  Outgoing message;

 private:
  const std::string text_;
  size_t offset_ = 0;
};

class OutboxTest : public ::testing::Test {
 protected:
  explicit OutboxTest(size_t frames = 2) : capacity_(frames * kMaxFrame) {
    transport::TransportPair pair =
        *transport::MakeLoopbackPair({.capacity_bytes = capacity_, .max_frame_size = kMaxFrame});
    transport_ = std::make_unique<testing::SpyTransport>(std::move(pair.client));
    peer_ = std::move(pair.server);
    outbox_ = std::make_unique<Outbox>(*transport_, kSourceId);
  }

  bool TrySend(uint64_t call_id, size_t lane, const std::string& text) {
    return outbox_->TrySend(testing::Header(wire::FrameKind::kReply, call_id, lane), text.size(),
                            [&](std::span<std::byte> to) { std::memcpy(to.data(), text.data(), text.size()); });
  }

  void Keep(uint64_t call_id, size_t lane, const std::string& text, Flow* flow = nullptr) {
    auto message = testing::Kept(testing::Header(wire::FrameKind::kReply, call_id, lane), text, kMaxFrame);
    message->flow = flow;
    outbox_->Keep(std::move(message));
  }

  // Fills the transport with frames of call 1000 of the urgent lane, of the largest size.
  void Fill() {
    while (TrySend(1000, kUrgent, "####")) {
    }
  }

  // Takes and pumps, frame by frame, until nothing comes any more.
  std::vector<std::string> Drain() {
    std::vector<std::string> all;
    for (;;) {
      PumpAll(*outbox_);
      const auto frame = TakeFrame(*peer_);
      if (!frame) return all;
      if (frame->header.call_id != 1000) all.push_back(Describe(*frame));
    }
  }

  const size_t capacity_;
  std::unique_ptr<testing::SpyTransport> transport_;
  std::unique_ptr<transport::Transport> peer_;
  std::unique_ptr<Outbox> outbox_;
};

// --- one frame, in place ---

TEST_F(OutboxTest, SendsAtOnceWhenThereIsRoom) {
  EXPECT_TRUE(TrySend(7, kNormal, "abc"));
  const auto frame = TakeFrame(*peer_);
  ASSERT_TRUE(frame);
  EXPECT_EQ(Describe(*frame), "7[abc]");
  EXPECT_EQ(frame->header.source_id, kSourceId);
  EXPECT_EQ(frame->header.sequence, 1u);
  EXPECT_EQ(frame->header.message_size, 3u);
  EXPECT_EQ(frame->header.priority, kNormal);
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->frames_sent(), 1u);
}

TEST_F(OutboxTest, WithoutRoomTrySendDoesNothing) {
  Fill();
  const uint64_t sent = outbox_->frames_sent();
  EXPECT_FALSE(TrySend(7, kUrgent, "abcd"));
  EXPECT_EQ(outbox_->frames_sent(), sent);
  EXPECT_FALSE(outbox_->has_waiting());
  TakeFrame(*peer_);
  TakeFrame(*peer_);
  EXPECT_TRUE(TrySend(7, kUrgent, "abcd"));
  EXPECT_EQ(TakeFrame(*peer_)->header.sequence, sent + 1);
}

TEST_F(OutboxTest, EachLaneCountsItsFrames) {
  std::vector<std::pair<int, uint64_t>> numbers;
  for (const size_t lane : {kLow, kUrgent, kLow, kNormal, kLow, kUrgent}) {
    ASSERT_TRUE(TrySend(1, lane, ""));
    const auto frame = TakeFrame(*peer_);
    numbers.emplace_back(frame->header.priority, frame->header.sequence);
  }
  EXPECT_THAT(numbers, ElementsAre(std::pair(0, 1u), std::pair(3, 1u), std::pair(0, 2u), std::pair(1, 1u),
                                   std::pair(0, 3u), std::pair(3, 2u)));
}

TEST_F(OutboxTest, TrySendOvertakesLowerLanesOnly) {
  Fill();
  Keep(7, kNormal, "abcd");
  ASSERT_TRUE(outbox_->has_waiting());
  TakeFrame(*peer_);
  EXPECT_FALSE(TrySend(8, kLow, ""));
  EXPECT_FALSE(TrySend(8, kNormal, ""));
  EXPECT_TRUE(TrySend(8, kNormal + 1, ""));
  EXPECT_THAT(Drain(), ElementsAre("8[]", "7[abcd]"));
}

// --- kept messages ---

TEST_F(OutboxTest, AKeptMessageGoesByFragments) {
  Keep(7, kNormal, "aaaabbbbcc");
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7 cc]"));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->held().kept(), 0u);
}

TEST_F(OutboxTest, AnEmptyMessageIsOneFrame) {
  Fill();
  Keep(7, kNormal, "");
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_THAT(Drain(), ElementsAre("7[]"));
  EXPECT_FALSE(outbox_->has_waiting());
}

TEST_F(OutboxTest, KeptBytesAreCountedUntilTheLastFrameIsOut) {
  Fill();
  Keep(7, kNormal, "aaaabb");
  Keep(8, kLow, "cc");
  EXPECT_EQ(outbox_->held().kept(), 8u);
  TakeFrame(*peer_);
  EXPECT_FALSE(PumpAll(*outbox_));
  EXPECT_EQ(outbox_->held().kept(), 8u);
  TakeFrame(*peer_);
  EXPECT_FALSE(PumpAll(*outbox_));
  EXPECT_EQ(outbox_->held().kept(), 2u);
  Drain();
  EXPECT_EQ(outbox_->held().kept(), 0u);
}

// Else a client that takes none of its empty replies would cost memory without end.
TEST_F(OutboxTest, AnEmptyMessageThatIsKeptCostsSomething) {
  Fill();
  Keep(7, kNormal, "");
  Keep(8, kNormal, "");
  EXPECT_EQ(outbox_->held().cost(), 2 * base::kKeptMessageCost);
  Drain();
  EXPECT_EQ(outbox_->held().cost(), 0u);
}

TEST_F(OutboxTest, AHigherLaneOvertakesBetweenTheFramesOfABulkMessage) {
  Keep(7, kLow, "aaaabbbbccccdddd");
  Keep(8, kUrgent, "!");
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "8[!]", "7 cccc", "7 dddd]"));
}

TEST_F(OutboxTest, WholeMessagesPassBetweenTheFramesOfTheirLane) {
  Keep(7, kNormal, "aaaabbbbccccdddd");
  Keep(8, kNormal, "1");
  Keep(9, kNormal, "2");
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7 cccc", "8[1]", "9[2]", "7 dddd]"));
}

TEST_F(OutboxTest, ALaneHasOnePartialMessageAtATime) {
  Keep(7, kNormal, "aaaabbbbccccdddd");
  Keep(8, kNormal, "eeeeffff");
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7 cccc", "7 dddd]", "8[eeee", "8 ffff]"));
}

TEST_F(OutboxTest, EachLaneHasAPartialMessageOfItsOwn) {
  Keep(7, kLow, "aaaabbbbcccc");
  Keep(8, kUrgent, "eeeeffff");
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "8[eeee", "8 ffff]", "7 cccc]"));
}

// What a poller does with a large reply: pieces while there is room, then the rest is kept.
TEST_F(OutboxTest, AMessageBegunByItsSenderGoesOnWhenItIsKept) {
  auto message = testing::Kept(testing::Header(wire::FrameKind::kReply, 7, kNormal), "aaaabbbbccccdd", kMaxFrame);
  base::Buffer all = std::move(message->kept);
  for (message->kept_from = 0;; message->kept_from += kMaxPayload) {
    message->piece = std::as_const(all).bytes().subspan(message->kept_from, kMaxPayload);
    if (!outbox_->TryOffer(*message)) break;
  }
  EXPECT_EQ(message->kept_from, 2 * kMaxPayload);
  Keep(8, kNormal, "eeeeffff");
  message->kept.Resize(all.size() - message->kept_from);
  std::memcpy(message->kept.data(), all.data() + message->kept_from, message->kept.size());
  outbox_->Keep(std::move(message));
  EXPECT_EQ(outbox_->held().kept(), 6u + 8u);
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7 cccc", "7 dd]", "8[eeee", "8 ffff]"));
  EXPECT_EQ(outbox_->held().kept(), 0u);
}

// --- flows ---

// A small message would pass a large one, and a status what it ends.
TEST_F(OutboxTest, MessagesOfAFlowLeaveInOrder) {
  Fill();
  Flow flow;
  Keep(7, kNormal, "aaaabbbbcc", &flow);
  Keep(7, kNormal, "1", &flow);
  Keep(7, kNormal, "ddddee", &flow);
  Keep(7, kNormal, "2", &flow);
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7 cc]", "7[1]", "7[dddd", "7 ee]", "7[2]"));
  Fill();
  Keep(7, kNormal, "3", &flow);
  EXPECT_THAT(Drain(), ElementsAre("7[3]"));
}

TEST_F(OutboxTest, FlowsOfALaneTakeTurns) {
  Fill();
  Flow first, second;
  for (const char* const text : {"1", "2", "3"}) Keep(7, kNormal, text, &first);
  for (const char* const text : {"a", "b"}) Keep(8, kNormal, text, &second);
  Keep(9, kNormal, "xxxxyyyyzz");
  EXPECT_THAT(Drain(), ElementsAre("7[1]", "8[a]", "9[xxxx", "7[2]", "8[b]", "9 yyyy", "7[3]", "9 zz]"));
}

TEST_F(OutboxTest, APieceThatIsLentWaitsBehindItsFlow) {
  Fill();
  Flow flow;
  Keep(7, kNormal, "aaaabb", &flow);
  Lent lent(7, kNormal, "1");
  lent.message.flow = &flow;
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bb]", "7[1]"));
  EXPECT_FALSE(outbox_->Waits(lent.message));
}

TEST_F(OutboxTest, WhoIsWithdrawnLeavesHisFlowInOrder) {
  for (const size_t which : {0u, 1u, 2u}) {
    Fill();
    Flow flow;
    std::vector<std::unique_ptr<Lent>> lent;
    for (const char* const text : {"aaaa", "bbbb", "cccc"}) {
      lent.push_back(std::make_unique<Lent>(7, kNormal, text));
      lent.back()->message.flow = &flow;
      EXPECT_FALSE(outbox_->Offer(lent.back()->Next()));
    }
    outbox_->Withdraw(lent[which]->message);
    Keep(7, kNormal, "d", &flow);
    std::vector<std::string> rest = {"7[aaaa]", "7[bbbb]", "7[cccc]", "7[d]"};
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(which));
    EXPECT_EQ(Drain(), rest);
  }
}

TEST_F(OutboxTest, WhatAFlowKeepsGoesOutInOrderWhenItHasEnded) {
  Fill();
  {
    Flow flow;
    Keep(7, kNormal, "aaaabb", &flow);
    Keep(7, kNormal, "1", &flow);
    Keep(7, kNormal, "2", &flow);
    outbox_->Leave(flow);
  }
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bb]", "7[1]", "7[2]"));
  EXPECT_EQ(outbox_->held().cost(), 0u);
}

TEST_F(OutboxTest, CloseEmptiesFlowsToo) {
  Fill();
  Flow flow;
  Keep(7, kNormal, "aaaabb", &flow);
  Keep(7, kNormal, "1", &flow);
  TakeFrame(*peer_);
  PumpAll(*outbox_);
  outbox_->Close();
  EXPECT_EQ(outbox_->held().cost(), 0u);
  EXPECT_FALSE(outbox_->has_waiting());
  outbox_->Leave(flow);
}

// --- pieces that the sender lends ---

TEST_F(OutboxTest, OfferSendsWhenThereIsRoom) {
  Lent lent(7, kNormal, "aaaabb");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_TRUE(lent.message.fragmenter.done());
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bb]"));
}

TEST_F(OutboxTest, WithoutRoomOfferWaitsAndItsSenderIsPokedWhenItHasGone) {
  Fill();
  Lent lent(7, kUrgent, "aaaa");
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  EXPECT_TRUE(outbox_->Waits(lent.message));
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_FALSE(lent.IsPoked(base::NowNs() + 1'000'000));
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa]"));
  EXPECT_FALSE(outbox_->Waits(lent.message));
  EXPECT_TRUE(lent.IsPoked(base::NowNs() + 1'000'000'000));
  EXPECT_FALSE(outbox_->has_waiting());
}

TEST_F(OutboxTest, OfferSendsWhatWaitsBeforeIt) {
  Fill();
  Keep(7, kNormal, "a");
  TakeFrame(*peer_);
  TakeFrame(*peer_);
  Lent lent(8, kNormal, "b");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_THAT(Drain(), ElementsAre("7[a]", "8[b]"));
}

TEST_F(OutboxTest, AnOfferedBulkMessageWaitsForTheLanesPartialOneEvenWithRoom) {
  Lent first(7, kNormal, "aaaabb");
  Lent second(8, kNormal, "eeeeff");
  EXPECT_TRUE(outbox_->Offer(first.Next()));
  EXPECT_FALSE(outbox_->Offer(second.Next()));
  TakeFrame(*peer_);
  EXPECT_FALSE(outbox_->Pump());
  EXPECT_TRUE(outbox_->Waits(second.message));
  EXPECT_TRUE(outbox_->Offer(first.Next()));
  EXPECT_FALSE(outbox_->Waits(second.message));
  TakeFrame(*peer_);
  EXPECT_TRUE(outbox_->Offer(second.Next()));
  EXPECT_THAT(Drain(), ElementsAre("8[eeee", "8 ff]"));
}

TEST_F(OutboxTest, TryOfferLeavesNothingBehind) {
  Fill();
  Lent lent(7, kUrgent, "aaaa");
  EXPECT_FALSE(outbox_->TryOffer(lent.Next()));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_FALSE(outbox_->Waits(lent.message));
  EXPECT_THAT(Drain(), IsEmpty());
}

// --- giving up ---

TEST_F(OutboxTest, WithdrawnBeforeItsFirstFrameAMessageLeavesNoTrace) {
  Fill();
  Lent lent(7, kNormal, "aaaabb");
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  outbox_->Withdraw(lent.message);
  EXPECT_FALSE(outbox_->Waits(lent.message));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(OutboxTest, WithdrawnInTheMiddleAMessageIsAborted) {
  Lent lent(7, kNormal, "aaaabb");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  outbox_->Withdraw(lent.message);
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7!"));
  EXPECT_EQ(outbox_->held().kept(), 0u);
}

TEST_F(OutboxTest, WithdrawnTwiceAMessageIsAbortedOnce) {
  Lent lent(7, kNormal, "aaaabbbbcc");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  outbox_->Withdraw(lent.message);
  outbox_->Withdraw(lent.message);
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7!"));
}

TEST_F(OutboxTest, AnAbortWaitsForRoomAndTheLanesNextBulkMessageForTheAbort) {
  Lent lent(7, kNormal, "aaaabbbbcc");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  Keep(8, kNormal, "eeeeff");
  outbox_->Withdraw(lent.message);
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bbbb", "7!", "8[eeee", "8 ff]"));
  EXPECT_FALSE(outbox_->has_waiting());
}

TEST_F(OutboxTest, WhatHasBeenSentWholeCannotBeWithdrawn) {
  Lent lent(7, kNormal, "aa");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  outbox_->Withdraw(lent.message);
  EXPECT_THAT(Drain(), ElementsAre("7[aa]"));
}

// --- pumping ---

TEST_F(OutboxTest, PumpSaysWhetherAnythingIsLeftAndPumpSomeWhetherItHelped) {
  EXPECT_TRUE(PumpAll(*outbox_));
  EXPECT_FALSE(outbox_->Pump());
  Keep(7, kNormal, "aaaabbbbccccdddd");
  EXPECT_FALSE(PumpAll(*outbox_));
  EXPECT_FALSE(outbox_->Pump());
  TakeFrame(*peer_);
  EXPECT_TRUE(outbox_->Pump());
  EXPECT_FALSE(outbox_->Pump());
  TakeFrame(*peer_);
  EXPECT_TRUE(PumpAll(*outbox_));
}

TEST_F(OutboxTest, WantsRoomForAnyFrameWhileSomethingMayGo) {
  EXPECT_EQ(outbox_->RoomWanted(), 0u);
  Keep(7, kNormal, "aaaabbbbcccc");
  EXPECT_EQ(outbox_->RoomWanted(), kMaxFrame);
  Drain();
  EXPECT_EQ(outbox_->RoomWanted(), 0u);
}

TEST_F(OutboxTest, WantsNoRoomWhileOnlyMessagesWaitThatMayNotGo) {
  Lent partial(7, kNormal, "aaaabb");
  EXPECT_TRUE(outbox_->Offer(partial.Next()));
  Keep(8, kNormal, "eeeeff");
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->RoomWanted(), 0u);
  EXPECT_TRUE(outbox_->Offer(partial.Next()));
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa", "7 bb]", "8[eeee", "8 ff]"));
}

// A pipe or a queue may say only after Commit() that it has no room.
TEST_F(OutboxTest, AFrameThatTheTransportCouldNotHandOverIsNotForgotten) {
  transport_->gate_closed = true;
  EXPECT_TRUE(TrySend(7, kNormal, "aa"));
  EXPECT_TRUE(outbox_->has_waiting());
  EXPECT_NE(outbox_->RoomWanted(), 0u);
  EXPECT_FALSE(PumpAll(*outbox_));
  transport_->gate_closed = false;
  EXPECT_TRUE(outbox_->Pump());
  EXPECT_THAT(DescribeAll(*peer_), ElementsAre("7[aa]"));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->RoomWanted(), 0u);
}

TEST_F(OutboxTest, TheFlushOfAFrameWakesThePeer) {
  transport_->gate_closed = true;
  EXPECT_TRUE(TrySend(7, kNormal, "aa"));
  ASSERT_FALSE(peer_->Arm(transport::Transport::kFrames, 0));
  pollfd bell = {.fd = peer_->wait_fds().bell, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&bell, 1, 0), 0);
  transport_->gate_closed = false;
  PumpAll(*outbox_);
  EXPECT_EQ(::poll(&bell, 1, 0), 1);
}

// --- the end ---

TEST_F(OutboxTest, AfterCloseNothingIsSent) {
  outbox_->Close();
  Lent lent(7, kNormal, "aaaabb");
  EXPECT_FALSE(TrySend(7, kNormal, "a"));
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  EXPECT_FALSE(outbox_->Waits(lent.message));
  EXPECT_FALSE(outbox_->TryOffer(lent.message));
  outbox_->Withdraw(lent.message);
  Keep(8, kNormal, "a");
  EXPECT_TRUE(PumpAll(*outbox_));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->held().kept(), 0u);
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(OutboxTest, CloseDropsWhatIsKeptAndPokesWhoWaits) {
  Fill();
  Keep(7, kNormal, "aaaabb");
  Lent lent(8, kUrgent, "cccc");
  EXPECT_FALSE(outbox_->Offer(lent.Next()));
  outbox_->Close();
  EXPECT_TRUE(lent.IsPoked(base::NowNs() + 1'000'000'000));
  EXPECT_FALSE(outbox_->Waits(lent.message));
  EXPECT_FALSE(outbox_->has_waiting());
  EXPECT_EQ(outbox_->held().kept(), 0u);
  EXPECT_EQ(outbox_->RoomWanted(), 0u);
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(OutboxTest, WhatIsWithdrawnAfterCloseIsNotAborted) {
  Lent lent(7, kNormal, "aaaabb");
  EXPECT_TRUE(outbox_->Offer(lent.Next()));
  outbox_->Close();
  outbox_->Withdraw(lent.message);
  EXPECT_THAT(Drain(), ElementsAre("7[aaaa"));
}

// A call has one reply, which is then a refusal that is not larger; but any number of elements.
TEST(OutboxQuotaTest, ASmallReplyIsKeptInAnyCaseAndNoElement) {
  testing::Link link = testing::MakeLink();
  base::Pool pool(base::Amount::Of(0, 10));
  base::Allowance memory({}, pool);
  Outbox outbox(*link.server.transport, testing::kServerId, &memory);
  const size_t max_frame_size = link.server.transport->max_frame_size();
  Outgoing reply(testing::Header(wire::FrameKind::kReply, 1, 1), 5, max_frame_size);
  EXPECT_TRUE(outbox.TryCharge(reply, 5));
  reply.charge.Release();
  Outgoing element(testing::Header(wire::FrameKind::kMessage, 1, 1), 5, max_frame_size);
  EXPECT_FALSE(outbox.TryCharge(element, 5));
  EXPECT_EQ(pool.taken().bytes(), 0u);
}

}  // namespace
}  // namespace nearcall::session
