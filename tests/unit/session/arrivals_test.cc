// SPDX-License-Identifier: Apache-2.0
#include "session/arrivals.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "unit/session/frames.h"

namespace nearcall::session {
namespace {

using testing::AsBytes;
using testing::AsText;

wire::Message MessageOf(const std::string& envelope, const std::string& payload) {
  const std::string all = envelope + payload;
  wire::Message message;
  message.header.envelope_size = static_cast<uint32_t>(envelope.size());
  message.header.message_size = static_cast<uint32_t>(all.size());
  message.bytes.Resize(all.size());
  if (!all.empty()) std::memcpy(message.bytes.data(), all.data(), all.size());
  return message;
}

std::vector<std::string> TakeAll(Arrivals& arrivals) {
  std::vector<std::string> all;
  for (; !arrivals.empty(); arrivals.Pop()) all.push_back(AsText(arrivals.front()));
  return all;
}

TEST(ArrivalsTest, EmptyAtFirst) {
  EXPECT_TRUE(Arrivals().empty());
}

TEST(ArrivalsTest, AnEmptyElementIsOne) {
  Arrivals arrivals;
  arrivals.Push(AsBytes(""));
  ASSERT_FALSE(arrivals.empty());
  EXPECT_EQ(AsText(arrivals.front()), "");
  arrivals.Pop();
  EXPECT_TRUE(arrivals.empty());
}

TEST(ArrivalsTest, SmallAndLargeOnesKeepTheirOrder) {
  std::mt19937 random(7);
  std::vector<std::string> sent;
  Arrivals arrivals;
  for (int i = 0; i < 200; ++i) {
    const size_t size = std::uniform_int_distribution<size_t>(0, i % 3 == 0 ? 20'000 : 100)(random);
    sent.emplace_back(size, static_cast<char>('a' + i % 26));
    wire::Message message = MessageOf("", sent.back());
    arrivals.Push(message);
  }
  EXPECT_EQ(TakeAll(arrivals), sent);
}

TEST(ArrivalsTest, TheEnvelopeIsLeftOut) {
  Arrivals arrivals;
  wire::Message small = MessageOf("envelope", "small");
  arrivals.Push(small);
  wire::Message large = MessageOf("envelope", std::string(10'000, 'x'));
  arrivals.Push(large);
  EXPECT_EQ(TakeAll(arrivals), (std::vector<std::string>{"small", std::string(10'000, 'x')}));
}

TEST(ArrivalsTest, CanBeFilledAgainWhileSomeWait) {
  Arrivals arrivals;
  arrivals.Push(AsBytes("one"));
  arrivals.Push(AsBytes("two"));
  arrivals.Pop();
  arrivals.Push(AsBytes("three"));
  EXPECT_EQ(TakeAll(arrivals), (std::vector<std::string>{"two", "three"}));
  arrivals.Push(AsBytes("four"));
  EXPECT_EQ(TakeAll(arrivals), (std::vector<std::string>{"four"}));
}

TEST(ArrivalsTest, ClearForgetsAll) {
  Arrivals arrivals;
  wire::Message large = MessageOf("", std::string(10'000, 'x'));
  arrivals.Push(large);
  arrivals.Push(AsBytes("small"));
  arrivals.Clear();
  EXPECT_TRUE(arrivals.empty());
}

// A small one is paid for by what its stream has set aside; a large one pays until it has been read.
TEST(ArrivalsTest, ALargeElementKeepsItsCharge) {
  base::Pool pool(base::Amount::Of(0, 100'000));
  base::Allowance allowance({}, pool);
  const auto charged = [&](const std::string& payload) {
    wire::Message message = MessageOf("", payload);
    EXPECT_TRUE(message.charge.TryTake(&allowance, base::Amount::Of(0, payload.size())));
    return message;
  };
  Arrivals arrivals;
  wire::Message small = charged("small");
  arrivals.Push(small);
  EXPECT_EQ(pool.taken().bytes(), 0u);
  wire::Message large = charged(std::string(10'000, 'x'));
  arrivals.Push(large);
  EXPECT_EQ(pool.taken().bytes(), 10'000u);
  arrivals.Pop();
  arrivals.Pop();
  EXPECT_EQ(pool.taken().bytes(), 0u);
}

// Whatever its elements' sizes are: each of them is copied.
TEST(ArrivalsTest, ALargePackedMessagePaysUntilAllOfItHasBeenRead) {
  base::Pool pool(base::Amount::Of(0, 100'000));
  base::Allowance allowance({}, pool);
  const std::string element(10'000, 'x');
  wire::Message packed = MessageOf("", std::string(sizeof(uint32_t), '\0') + element);
  ASSERT_TRUE(packed.charge.TryTake(&allowance, base::Amount::Of(0, 10'000)));
  Arrivals arrivals;
  arrivals.Push(AsBytes("before"));
  arrivals.Push(AsBytes(element));
  arrivals.Keep(packed);
  packed.charge.Release();
  EXPECT_EQ(pool.taken().bytes(), 10'000u);
  Arrivals mine;
  std::swap(mine, arrivals);
  mine.Pop();
  EXPECT_EQ(pool.taken().bytes(), 10'000u);
  mine.Pop();
  EXPECT_EQ(pool.taken().bytes(), 0u);
}

TEST(ArrivalsTest, APackedMessageWithoutElementsPaysNothing) {
  base::Pool pool(base::Amount::Of(0, 100'000));
  base::Allowance allowance({}, pool);
  wire::Message packed = MessageOf(std::string(10'000, 'e'), "");
  ASSERT_TRUE(packed.charge.TryTake(&allowance, base::Amount::Of(0, 10'000)));
  Arrivals arrivals;
  arrivals.Keep(packed);
  packed.charge.Release();
  EXPECT_EQ(pool.taken().bytes(), 0u);
}

}  // namespace
}  // namespace nearcall::session
