// SPDX-License-Identifier: Apache-2.0
#include "session/completion_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace nearcall::session {
namespace {

// Found by tests/models/completion.pml. Who reads replies for all pushes calls of a queue that he knows by them only:
// when its last call has come out, the queue may go.
TEST(CompletionQueueTest, WhoTakesTheLastCallMayDestroyTheQueue) {
  for (int i = 0; i < 2000; ++i) {
    auto queue = std::make_unique<CompletionQueue>();
    ClientCall call;
    std::thread reader([pushed_to = queue.get(), &call] { pushed_to->Push(call); });
    while (queue->Pop() == nullptr) std::this_thread::yield();
    queue.reset();
    reader.join();
  }
}

TEST(CompletionQueueTest, WhatIsPushedIsNews) {
  CompletionQueue queue;
  ClientCall call;
  queue.Push(call);
  EXPECT_TRUE(queue.has_news());
  queue.ForgetNews();
  EXPECT_EQ(queue.Pop(), &call);
  EXPECT_EQ(queue.Pop(), nullptr);
  EXPECT_FALSE(queue.has_news());
}

TEST(CompletionQueueTest, WhoTakesOneHearsOfTheNext) {
  CompletionQueue queue;
  ClientCall first;
  ClientCall second;
  queue.Push(first);
  queue.Push(second);
  bool more = false;
  EXPECT_EQ(queue.Pop(&more), &first);
  EXPECT_TRUE(more);
  EXPECT_EQ(queue.Pop(&more), &second);
  EXPECT_FALSE(more);
}

TEST(CompletionQueueTest, WhatIsThereIsThereOnceUntilItIsForgotten) {
  CompletionQueue queue;
  Completion news(false);
  queue.Push(news);
  queue.Push(news);
  EXPECT_EQ(queue.Pop(), &news);
  EXPECT_EQ(queue.Pop(), nullptr);
  queue.Push(news);
  queue.Forget(news);
  EXPECT_EQ(queue.Pop(), nullptr);
}

}  // namespace
}  // namespace nearcall::session
