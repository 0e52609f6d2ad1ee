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
  WarmRequest<BytesValue> message;
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
      WarmRequest<BytesValue> message;
      first = &*message;
      (*message).set_value("something");
      message.Keep(9);
    }
    const WarmRequest<BytesValue> next;
    EXPECT_EQ(&*next, first);
    EXPECT_EQ((*next).value(), "");
    const WarmRequest<BytesValue> nested;
    EXPECT_NE(&*nested, first);
  });
}

// As an echo has them.
TEST(WarmMessageTest, ARequestAndAReplyOfOneTypeHaveTheirOwn) {
  OnThread([] {
    const BytesValue* parts[2] = {};
    for (int call = 0; call < 2; ++call) {
      WarmRequest<BytesValue> request;
      WarmReply<BytesValue> reply;
      if (call == 1) {
        EXPECT_EQ(&*request, parts[0]);
        EXPECT_EQ(&*reply, parts[1]);
      }
      parts[0] = &*request;
      parts[1] = &*reply;
      request.Keep(1);
      reply.Keep(1);
    }
  });
}

TEST(WarmMessageTest, WhatIsNotKeptIsFreed) {
  OnThread([] {
    Use(100);
    { const WarmRequest<BytesValue> message; }
    const WarmRequest<BytesValue> next;
    EXPECT_LT((*next).value().capacity(), 100u);
  });
}

TEST(WarmMessageTest, ALargeOneIsFreed) {
  OnThread([] {
    Use(size_t{1} << 20);
    const WarmRequest<BytesValue> next;
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
