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

TEST(CallTableTest, FindsEachCallOnce) {
  CallTable table(2);
  ClientCall call;
  table.Insert(call);
  EXPECT_NE(call.id, 0u);
  EXPECT_EQ(table.Take(call.id), &call);
  EXPECT_EQ(table.Take(call.id), nullptr);
  table.Release(call);
  EXPECT_EQ(table.Take(call.id), nullptr);
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
  table.Release(call);
}

TEST(CallTableTest, IsFullUntilACallIsReleased) {
  CallTable table(2);
  std::array<ClientCall, 2> calls;
  for (ClientCall& call : calls) table.Insert(call);
  EXPECT_TRUE(table.full());
  table.Take(calls[0].id);
  EXPECT_TRUE(table.full()) << "taken out, but its owner still uses the slot";
  table.Release(calls[0]);
  EXPECT_FALSE(table.full());
  EXPECT_EQ(table.in_use(), 1u);
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
    table.Take(call.id);
    table.Release(call);
  }
  EXPECT_EQ(slots.size(), 1u);
}

TEST(CallTableTest, ALateReplyDoesNotReachTheSlotsNextCall) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  table.Take(first.id);
  table.Release(first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(table.Take(first.id), nullptr);
  EXPECT_EQ(table.Take(second.id), &second);
  table.Release(second);
}

TEST(CallTableTest, ASlotKeepsItsBufferForTheNextCall) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  first.reply.bytes.Resize(1000);
  const std::byte* memory = first.reply.bytes.data();
  table.Take(first.id);
  table.Release(first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(second.reply.bytes.data(), memory);
  table.Take(second.id);
  table.Release(second);
}

TEST(CallTableTest, ALargeBufferIsGivenBack) {
  CallTable table(1);
  ClientCall first;
  table.Insert(first);
  first.reply.bytes.Resize((size_t{64} << 10) + 1);
  table.Take(first.id);
  table.Release(first);
  ClientCall second;
  table.Insert(second);
  EXPECT_EQ(second.reply.bytes.capacity(), 0u);
  table.Take(second.id);
  table.Release(second);
}

TEST(CallTableTest, TakesAllThatAreLeftOnce) {
  CallTable table(5);
  std::array<ClientCall, 5> calls;
  for (ClientCall& call : calls) table.Insert(call);
  table.Take(calls[1].id);
  EXPECT_THAT(table.TakeAll(), UnorderedElementsAre(&calls[0], &calls[2], &calls[3], &calls[4]));
  EXPECT_THAT(table.TakeAll(), IsEmpty());
  for (ClientCall& call : calls) table.Release(call);
  EXPECT_EQ(table.in_use(), 0u);
}

TEST(CallTableTest, AnyOrderOfEndsKeepsTheTableRight) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::minstd_rand random(seed);
  CallTable table(8);
  std::vector<std::unique_ptr<ClientCall>> calls;
  std::set<uint64_t> ids;
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(table.in_use(), calls.size());
    if (!table.full() && random() % 2 == 0) {
      calls.push_back(std::make_unique<ClientCall>());
      table.Insert(*calls.back());
      ASSERT_TRUE(ids.insert(calls.back()->id).second);
    } else if (!calls.empty()) {
      const auto gone = calls.begin() + static_cast<std::ptrdiff_t>(random() % calls.size());
      ASSERT_EQ(table.Take((*gone)->id), gone->get());
      table.Release(**gone);
      calls.erase(gone);
    }
  }
  for (const auto& call : calls) {
    table.Take(call->id);
    table.Release(*call);
  }
}

}  // namespace
}  // namespace nearcall::session
