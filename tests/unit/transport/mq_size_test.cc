// SPDX-License-Identifier: Apache-2.0

// The rule by which a server shares what the kernel allows among its clients.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/limits.h"
#include "transport/mq/queue_size.h"

namespace nearcall::transport::mq {
namespace {

// As Linux comes.
constexpr QueueLimits kDefault{.charge = 819'200, .max_messages = 10, .message_size = 8192};

std::string Choice(const QueueLimits& limits, size_t expected_clients) {
  const absl::StatusOr<QueueSize> size = ChooseQueueSize(limits, expected_clients);
  if (!size.ok()) return std::string(size.status().message());
  return std::to_string(size->max_messages) + " x " + std::to_string(size->message_size);
}

TEST(MqSizeTest, FewClientsGetWhatLinuxAllows) {
  EXPECT_EQ(Choice(kDefault, 1), "10 x 8192");
  EXPECT_EQ(Choice(kDefault, 4), "10 x 8192");
  EXPECT_EQ(Choice(kDefault, 0), "10 x 8192") << "none is as one";
}

TEST(MqSizeTest, MoreClientsGetFewerMessagesAndThenSmallerOnes) {
  EXPECT_EQ(Choice(kDefault, 8), "6 x 8192");
  EXPECT_EQ(Choice(kDefault, 12), "4 x 8192");
  EXPECT_EQ(Choice(kDefault, 13), "7 x 4096");
  EXPECT_EQ(Choice(kDefault, 100), "6 x 512");
  EXPECT_EQ(Choice(kDefault, 290), "4 x 256");
}

TEST(MqSizeTest, AtLeastOneSmallMessageWhateverIsExpected) {
  EXPECT_EQ(Choice(kDefault, 1000), "1 x 256");
  EXPECT_EQ(Choice(kDefault, 1'000'000'000'000), "1 x 256");
  EXPECT_EQ(Choice({.charge = 0, .max_messages = 10, .message_size = 8192}, 1), "1 x 256");
}

TEST(MqSizeTest, EverythingFitsTheLimit) {
  for (size_t clients = 1; clients <= 1163; ++clients) {
    const QueueSize size = *ChooseQueueSize(kDefault, clients);
    EXPECT_LE(2 * clients * ChargeOf(size), kDefault.charge) << clients;
  }
}

TEST(MqSizeTest, NoLimitIsNoReasonForMore) {
  EXPECT_EQ(Choice({.charge = QueueLimits::kUnlimited, .max_messages = 10, .message_size = 8192}, 1000), "10 x 8192");
  EXPECT_EQ(Choice({.charge = 1 << 30, .max_messages = 65536, .message_size = 1 << 24}, 1), "10 x 8192");
}

TEST(MqSizeTest, TheSystemsSettingsCount) {
  EXPECT_EQ(Choice({.charge = 819'200, .max_messages = 10, .message_size = 5000}, 1), "10 x 4096");
  EXPECT_EQ(Choice({.charge = 819'200, .max_messages = 2, .message_size = 8192}, 1), "2 x 8192");
  EXPECT_EQ(Choice({.charge = 819'200, .max_messages = 2, .message_size = 300}, 1), "2 x 256");
  EXPECT_THAT(Choice({.charge = 819'200, .max_messages = 10, .message_size = 128}, 1),
              ::testing::HasSubstr("fs.mqueue.msgsize_max is 128, at least 256 is needed; raise it"));
}

TEST(MqSizeTest, TheLimitsOfThisProcessCanBeUsed) {
  const QueueLimits limits = QueueLimits::Now();
  EXPECT_GE(limits.max_messages, 1U);
  EXPECT_GE(limits.message_size, 128U);
}

}  // namespace
}  // namespace nearcall::transport::mq
