// SPDX-License-Identifier: Apache-2.0
#include "session/call_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace nearcall::session {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// As a reply does.
void Answer(CallTable& table, ClientCall& call) {
  table.TakeAnswered(call.id);
  table.Release(call, call.reply.bytes);
}

TEST(CallTableTest, FindsEachCallOnce) {
  CallTable table(2);
  ClientCall call;
  table.Insert(call);
  EXPECT_NE(call.id, 0u);
  EXPECT_EQ(table.TakeAnswered(call.id), &call);
  EXPECT_EQ(table.TakeAnswered(call.id), nullptr);
  EXPECT_EQ(table.Take(call.id), nullptr);
  table.Release(call, call.reply.bytes);
  EXPECT_EQ(table.TakeAnswered(call.id), nullptr);
}

TEST(CallTableTest, KnowsNothingOfIdsThatItDidNotGive) {
  CallTable table(2);
  for (const uint64_t id : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 16, uint64_t{2} << 16, ~uint64_t{0}}) {
    EXPECT_EQ(table.Take(id), nullptr) << id;
  }
  ClientCall call;
  table.Insert(call);
  EXPECT_EQ(table.Take(call.id + 1), nullptr);
  EXPECT_EQ(table.Take(call.id + (1 << 16)), nullptr);
  EXPECT_EQ(table.Take(call.id), &call);
  table.Release(call, call.reply.bytes);
}

TEST(CallTableTest, IsFullUntilAnAnsweredCallIsReleased) {
  CallTable table(2);
  std::array<ClientCall, 2> calls;
  for (ClientCall& call : calls) table.Insert(call);
  EXPECT_TRUE(table.full());
  table.TakeAnswered(calls[0].id);
  EXPECT_TRUE(table.full()) << "answered, but its owner still uses the slot";
  EXPECT_EQ(table.given_up(), 0u);
  table.Release(calls[0], calls[0].reply.bytes);
  EXPECT_FALSE(table.full());
  EXPECT_EQ(table.in_use(), 1u);
}

// It still runs on the server, which has as many slots.
TEST(CallTableTest, ACallThatWasGivenUpHasItsSlotUntilTheReplyComes) {
  CallTable table(1);
  ClientCall call;
  table.Insert(call);
  EXPECT_EQ(table.Take(call.id), &call);
  table.Release(call, call.reply.bytes);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(table.given_up(), 1u);
  EXPECT_EQ(table.Call(call.id), nullptr);
  EXPECT_EQ(table.TakeAnswered(call.id), nullptr);
  EXPECT_EQ(table.in_use(), 0u);
  EXPECT_EQ(table.given_up(), 0u);
}

// The reply comes while the owner is looking at why his call has failed.
TEST(CallTableTest, WhatIsAnsweredBetweenItsEndAndItsReleaseIsFreeAtOnce) {
  CallTable table(1);
  ClientCall call;
  table.Insert(call);
  table.Take(call.id);
  EXPECT_EQ(table.TakeAnswered(call.id), nullptr);
  EXPECT_TRUE(table.full());
  table.Release(call, call.reply.bytes);
  EXPECT_EQ(table.in_use(), 0u);
  EXPECT_EQ(table.given_up(), 0u);
}

TEST(CallTableTest, NeverReusesAnIdAndAlwaysItsSlots) {
  CallTable table(3);
  std::set<uint64_t> ids;
  std::set<uint64_t> slots;
  for (int i = 0; i < 1000; ++i) {
    ClientCall call;
    table.Insert(call);
    EXPECT_TRUE(ids.insert(call.id).second);
    slots.insert(call.id & 0xffff);
    Answer(table, call);
  }
  EXPECT_EQ(slots.size(), 1u);
}

TEST(CallTableTest, ALateReplyDoesNotReachTheSlotsNextCall) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  Answer(table, first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(table.TakeAnswered(first.id), nullptr);
  EXPECT_EQ(table.Take(second.id), &second);
  table.Release(second, second.reply.bytes);
}

TEST(CallTableTest, ASlotKeepsItsBufferForTheNextCall) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  first.reply.bytes.Resize(1000);
  const std::byte* memory = first.reply.bytes.data();
  Answer(table, first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(second.reply.bytes.data(), memory);
  Answer(table, second);
}

TEST(CallTableTest, ALargeBufferIsGivenBack) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  first.reply.bytes.Resize((size_t{64} << 10) + 1);
  Answer(table, first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(second.reply.bytes.capacity(), 0u);
  Answer(table, second);
}

TEST(CallTableTest, TakesAllThatAreLeftOnce) {
  CallTable table(5);
  std::array<ClientCall, 5> calls;
  for (ClientCall& call : calls) table.Insert(call);
  table.TakeAnswered(calls[1].id);
  EXPECT_THAT(table.TakeAll(), UnorderedElementsAre(&calls[0], &calls[2], &calls[3], &calls[4]));
  EXPECT_THAT(table.TakeAll(), IsEmpty());
  for (ClientCall& call : calls) table.Release(call, call.reply.bytes);
  EXPECT_EQ(table.in_use(), table.given_up());
  EXPECT_EQ(table.given_up(), 4u);
}

TEST(CallTableTest, AnyOrderOfEndsKeepsTheTableRight) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::minstd_rand random(seed);
  CallTable table(8);
  std::vector<std::unique_ptr<ClientCall>> calls;
  std::vector<uint64_t> given_up;
  std::set<uint64_t> ids;
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(table.in_use(), calls.size() + given_up.size());
    ASSERT_EQ(table.given_up(), given_up.size());
    if (!table.full() && random() % 2 == 0) {
      calls.push_back(std::make_unique<ClientCall>());
      table.Insert(*calls.back());
      ASSERT_TRUE(ids.insert(calls.back()->id).second);
    } else if (!given_up.empty() && random() % 2 == 0) {
      ASSERT_EQ(table.TakeAnswered(given_up.back()), nullptr);
      given_up.pop_back();
    } else if (!calls.empty()) {
      const auto gone = calls.begin() + static_cast<std::ptrdiff_t>(random() % calls.size());
      const bool answered = random() % 2 == 0;
      const uint64_t id = (*gone)->id;
      ASSERT_EQ(answered ? table.TakeAnswered(id) : table.Take(id), gone->get());
      table.Release(**gone, (**gone).reply.bytes);
      if (!answered) given_up.push_back(id);
      calls.erase(gone);
    }
  }
  for (const auto& call : calls) Answer(table, *call);
}

}  // namespace
}  // namespace nearcall::session
