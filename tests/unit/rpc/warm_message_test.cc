// SPDX-License-Identifier: Apache-2.0
#include "nearcall/internal/warm_message.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "base/clock.h"
#include "base/limits.h"
#include "base/warm_memory.h"

namespace nearcall::internal {
namespace {

using base::WarmMemory;
using google::protobuf::BytesValue;
using google::protobuf::ListValue;
using google::protobuf::StringValue;

constexpr size_t kMebibyte = size_t{1} << 20;

class WarmMessageTest : public ::testing::Test {
 protected:
  ~WarmMessageTest() override { WarmMemory::GiveBackOlderThan(base::kNever); }

  // Runs `test` on a thread of its own, where nothing is kept yet.
  static void OnThread(void (*test)()) { std::thread(test).join(); }

  // A handler's use of a message of `size` bytes.
  static void Use(size_t size) {
    WarmMessage<BytesValue> message;
    EXPECT_EQ((*message).value(), "");
    (*message).set_value(std::string(size, 'x'));
    message.Keep(size);
  }
};

TEST_F(WarmMessageTest, TheNextOneOnTheThreadHasItsMemoryAndNothingElse) {
  OnThread([] {
    const BytesValue* first;
    {
      WarmMessage<BytesValue> message;
      first = &*message;
      (*message).set_value("something");
      message.Keep(9);
    }
    WarmMessage<BytesValue> next;
    EXPECT_EQ(&*next, first);
    EXPECT_EQ((*next).value(), "");
    const WarmMessage<BytesValue> nested;
    EXPECT_NE(&*nested, first);
  });
}

TEST_F(WarmMessageTest, WhatIsNotKeptIsFreed) {
  OnThread([] {
    { const WarmMessage<BytesValue> message; }
    EXPECT_EQ(WarmMemory::bytes_kept(), 0u);
  });
}

TEST_F(WarmMessageTest, ALargeOneIsOfTheProcess) {
  OnThread([] { Use(kMebibyte); });
  OnThread([] { Use(1); });  // of this thread there was none that is large
  EXPECT_GE(WarmMemory::bytes_kept(), kMebibyte);
}

TEST_F(WarmMessageTest, TheNextLargeOneHasItsMemory) {
  OnThread([] {
    const void* memory;
    {
      WarmMessage<BytesValue> message;
      (*message).set_value(std::string(kMebibyte, 'x'));
      memory = (*message).value().data();
      message.Keep(kMebibyte);
    }
    WarmMessage<BytesValue> next;
    EXPECT_EQ(WarmMemory::bytes_kept(), 0u);
    (*next).mutable_value()->resize(kMebibyte);
    EXPECT_EQ((*next).value().data(), memory);
    next.Keep(kMebibyte);
    // One of another type is another's.
    const WarmMessage<StringValue> other;
    EXPECT_GE(WarmMemory::bytes_kept(), kMebibyte);
  });
}

// What came was small each time; what the message holds of it grows.
TEST_F(WarmMessageTest, WhatAThreadKeepsIsMeasuredBeforeItIsMuch) {
  OnThread([] {
    const void* first = nullptr;
    bool is_new = false;
    for (int i = 0; i < 1000 && !is_new; ++i) {
      WarmMessage<ListValue> message;
      if (i == 0) first = &*message;
      is_new = &*message != first;
      for (int j = 0; j <= i; ++j) (*message).add_values();
      message.Keep(static_cast<size_t>(2 * i));
      WarmMemory::GiveBackOlderThan(base::kNever);
    }
    EXPECT_TRUE(is_new);
  });
}

TEST_F(WarmMessageTest, TooLargeAOneIsFreed) {
  OnThread([] { Use(base::kMaxWarmBytes + 1); });
  EXPECT_LE(WarmMemory::bytes_kept(), base::kMaxWarmBytes);
  EXPECT_EQ(WarmMemory::bytes_kept(), 0u);
}

}  // namespace
}  // namespace nearcall::internal
