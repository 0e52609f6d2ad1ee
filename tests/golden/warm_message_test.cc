// SPDX-License-Identifier: Apache-2.0
#include "nearcall/internal/warm_message.h"

#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace nearcall::internal {
namespace {

using google::protobuf::BytesValue;

// On a thread of its own, where nothing is kept yet.
void OnThread(void (*test)()) {
  std::thread(test).join();
}

// What a handler does with a message of `size` bytes: where its text stood.
const void* Use(size_t size) {
  WarmMessage<BytesValue> message;
  EXPECT_EQ((*message).value(), "");
  (*message).set_value(std::string(size, 'x'));
  const void* const text = (*message).value().data();
  message.Keep(size);
  return text;
}

TEST(WarmMessageTest, TheNextOneOnTheThreadHasItsMemoryAndNothingElse) {
  OnThread([] {
    const BytesValue* first;
    {
      WarmMessage<BytesValue> message;
      first = &*message;
      (*message).set_value("something");
      message.Keep(9);
    }
    const WarmMessage<BytesValue> next;
    EXPECT_EQ(&*next, first);
    EXPECT_EQ((*next).value(), "");
    const WarmMessage<BytesValue> nested;
    EXPECT_NE(&*nested, first);
  });
}

TEST(WarmMessageTest, WhatIsNotKeptIsFreed) {
  OnThread([] {
    Use(100);
    { const WarmMessage<BytesValue> message; }
    const WarmMessage<BytesValue> next;
    EXPECT_LT((*next).value().capacity(), 100u);
  });
}

TEST(WarmMessageTest, ALargeOneIsFreed) {
  OnThread([] {
    Use(size_t{1} << 20);
    const WarmMessage<BytesValue> next;
    EXPECT_LT((*next).value().capacity(), size_t{1} << 20);
  });
}

// What comes is small each time; what the message holds of it grows.
TEST(WarmMessageTest, ANewOneIsBegunBeforeItHoldsMuch) {
  OnThread([] {
    const void* const first = Use(1000);
    int same = 0;
    while (same < 1000 && Use(1000) == first) ++same;
    EXPECT_LT(same, 20);
  });
}

}  // namespace
}  // namespace nearcall::internal
