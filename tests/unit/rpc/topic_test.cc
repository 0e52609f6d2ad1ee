// SPDX-License-Identifier: Apache-2.0
#include "nearcall/topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "google/protobuf/wrappers.pb.h"
#include "unit/rpc/idle_stream.h"

namespace nearcall::rpc {
namespace {

using google::protobuf::StringValue;
using internal::TopicCore;
using Subscription = TopicCore::Subscription;
using ::testing::ElementsAre;
using testing::IdleStream;
using ::testing::IsEmpty;

constexpr size_t kMuch = 1 << 20;

class TopicCoreTest : public ::testing::Test {
 protected:
  absl::Status Publish(const std::string& text, absl::Time deadline = absl::InfiniteFuture()) {
    StringValue value;
    value.set_value(text);
    return topic_.Publish(value, {}, deadline);
  }
  void PublishAll(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) EXPECT_EQ(Publish(text), absl::OkStatus());
  }

  // What waits, each with the number that was dropped before it, if any: "2:c".
  static std::vector<std::string> TakeAll(Subscription& subscription) {
    std::vector<std::string> texts;
    for (auto next = subscription.Take(); next.message != nullptr; next = subscription.Take()) {
      StringValue value;
      EXPECT_TRUE(value.ParseFromString(next.message->SerializeAsString()));
      texts.push_back(next.dropped == 0 ? value.value() : std::to_string(next.dropped) + ":" + value.value());
    }
    return texts;
  }

  TopicCore topic_;
  IdleStream stream_;
};

TEST_F(TopicCoreTest, EachSubscriberTakesAllInOrder) {
  IdleStream other_stream;
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  Subscription other(topic_, other_stream, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a", "", "c"});
  EXPECT_THAT(TakeAll(one), ElementsAre("a", "", "c"));
  EXPECT_THAT(TakeAll(other), ElementsAre("a", "", "c"));
  EXPECT_THAT(TakeAll(one), IsEmpty());
  EXPECT_EQ(topic_.published(), 3u);
  EXPECT_EQ(topic_.subscribers(), 2u);
}

TEST_F(TopicCoreTest, AMessageIsSerialisedOnceForAll) {
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  Subscription other(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a"});
  EXPECT_EQ(one.Take().message, other.Take().message);
}

TEST_F(TopicCoreTest, WhoHasSomethingToTakeAlreadyIsNotToldAgain) {
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a", "b"});
  EXPECT_EQ(stream_.told, 1u);
  TakeAll(one);
  PublishAll({"c"});
  EXPECT_EQ(stream_.told, 2u);
}

TEST_F(TopicCoreTest, WhatWasPublishedBeforeIsNotHad) {
  PublishAll({"a"});
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"b"});
  EXPECT_THAT(TakeAll(one), ElementsAre("b"));
}

// --- who is behind ---

TEST_F(TopicCoreTest, TheOldestIsDroppedAndItsPlaceKnown) {
  Subscription one(topic_, stream_, {.messages = 2, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a", "b", "c", "d", "e"});
  EXPECT_THAT(TakeAll(one), ElementsAre("3:d", "e"));
  PublishAll({"f"});
  EXPECT_THAT(TakeAll(one), ElementsAre("f"));
  EXPECT_EQ(one.dropped(), 3u);
  EXPECT_EQ(topic_.dropped(), 3u);
}

TEST_F(TopicCoreTest, TheQueueIsBoundedInBytesToo) {
  Subscription one(topic_, stream_, {.messages = 100, .bytes = 250, .when_behind = WhenBehind::kDropOldest});
  PublishAll({std::string(100, 'a'), std::string(100, 'b'), std::string(100, 'c')});
  EXPECT_THAT(TakeAll(one), ElementsAre("1:" + std::string(100, 'b'), std::string(100, 'c')));
}

TEST_F(TopicCoreTest, AMessageLargerThanTheQueueHasItForItself) {
  Subscription one(topic_, stream_, {.messages = 100, .bytes = 250, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a", std::string(1000, 'b')});
  EXPECT_THAT(TakeAll(one), ElementsAre("1:" + std::string(1000, 'b')));
}

TEST_F(TopicCoreTest, TheLatestIsAllThatIsKept) {
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kLatestOnly});
  PublishAll({"a", "b", "c"});
  EXPECT_THAT(TakeAll(one), ElementsAre("2:c"));
}

TEST_F(TopicCoreTest, WhoIsDisconnectedHasWhatWaited) {
  Subscription one(topic_, stream_, {.messages = 2, .bytes = kMuch, .when_behind = WhenBehind::kDisconnect});
  PublishAll({"a", "b", "c", "d"});
  EXPECT_FALSE(one.ended().has_value());
  EXPECT_THAT(TakeAll(one), ElementsAre("a", "b"));
  ASSERT_TRUE(one.ended().has_value());
  EXPECT_EQ(one.ended()->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(topic_.disconnected(), 1u);
}

TEST_F(TopicCoreTest, APublisherWaitsForRoom) {
  IdleStream other_stream;
  Subscription other(topic_, other_stream, {.messages = 1, .bytes = kMuch, .when_behind = WhenBehind::kLatestOnly});
  Subscription one(topic_, stream_, {.messages = 1, .bytes = kMuch, .when_behind = WhenBehind::kBlockPublisher});
  PublishAll({"a"});
  EXPECT_EQ(Publish("b", absl::Now()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(TakeAll(other), ElementsAre("a")) << "nobody has what was not published";
  std::thread publisher([&] { PublishAll({"b"}); });
  std::vector<std::string> taken;
  while (taken.size() < 2) {
    for (std::string& text : TakeAll(one)) taken.push_back(std::move(text));
  }
  publisher.join();
  EXPECT_THAT(taken, ElementsAre("a", "b"));
  EXPECT_EQ(topic_.dropped(), 0u);
}

TEST_F(TopicCoreTest, APublisherDoesNotWaitForWhoHasGone) {
  auto one = std::make_unique<Subscription>(
      topic_, stream_, TopicCore::Limits{.messages = 1, .bytes = kMuch, .when_behind = WhenBehind::kBlockPublisher});
  PublishAll({"a"});
  std::thread publisher([&] { PublishAll({"b"}); });
  one.reset();
  publisher.join();
}

// --- the end ---

TEST_F(TopicCoreTest, AClosedTopicEndsItsSubscriptionsAfterWhatWaits) {
  Subscription one(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  PublishAll({"a"});
  topic_.Close(absl::AbortedError("over"));
  topic_.Close(absl::OkStatus());
  EXPECT_FALSE(one.ended().has_value());
  TakeAll(one);
  EXPECT_EQ(one.ended(), absl::AbortedError("over"));
  EXPECT_EQ(Publish("b").code(), absl::StatusCode::kFailedPrecondition);
  Subscription late(topic_, stream_, {.messages = 8, .bytes = kMuch, .when_behind = WhenBehind::kDropOldest});
  EXPECT_EQ(late.ended(), absl::AbortedError("over"));
}

TEST_F(TopicCoreTest, ClosingWakesAPublisherThatWaits) {
  Subscription one(topic_, stream_, {.messages = 1, .bytes = kMuch, .when_behind = WhenBehind::kBlockPublisher});
  PublishAll({"a"});
  std::thread publisher([&] { EXPECT_EQ(Publish("b").code(), absl::StatusCode::kFailedPrecondition); });
  topic_.Close(absl::OkStatus());
  publisher.join();
}

}  // namespace
}  // namespace nearcall::rpc
