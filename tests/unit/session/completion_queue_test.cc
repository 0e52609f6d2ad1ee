// SPDX-License-Identifier: Apache-2.0
#include "session/completion_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "unit/session/pop_one.h"

namespace nearcall::session {
namespace {

using ::testing::ElementsAre;

// Found by tests/models/completion.pml. Who reads replies for all pushes calls of a queue that he knows by them only:
// when its last call has come out, the queue may go.
TEST(CompletionQueueTest, WhoTakesTheLastCallMayDestroyTheQueue) {
  for (int i = 0; i < 2000; ++i) {
    auto queue = std::make_unique<CompletionQueue>();
    ClientCall call;
    std::thread reader([pushed_to = queue.get(), &call] { pushed_to->Push(call); });
    while (testing::PopOne(*queue) == nullptr) std::this_thread::yield();
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
  EXPECT_EQ(testing::PopOne(queue), &call);
  EXPECT_EQ(testing::PopOne(queue), nullptr);
  EXPECT_FALSE(queue.has_news());
}

TEST(CompletionQueueTest, WhoTakesOneHearsOfTheNext) {
  CompletionQueue queue;
  ClientCall first;
  ClientCall second;
  queue.Push(first);
  queue.Push(second);
  bool more = false;
  EXPECT_EQ(testing::PopOne(queue, &more), &first);
  EXPECT_TRUE(more);
  EXPECT_EQ(testing::PopOne(queue, &more), &second);
  EXPECT_FALSE(more);
}

TEST(CompletionQueueTest, CallsThatHaveEndedAreTakenTogetherUpToTheNextNewsOfASide) {
  CompletionQueue queue;
  std::array<ClientCall, 4> calls;
  Completion side(false);
  for (size_t i = 0; i < 3; ++i) queue.Push(calls[i]);
  queue.Push(side);
  queue.Push(calls[3]);
  base::List<Completion> ended;
  bool more = false;
  const auto take = [&](size_t max) {
    Completion* const news = queue.Take(ended, max, more);
    std::vector<Completion*> taken = {news};
    while (Completion* const one = ended.PopFront()) taken.push_back(one);
    return taken;
  };
  EXPECT_THAT(take(2), ElementsAre(nullptr, &calls[0], &calls[1]));
  EXPECT_TRUE(more);
  EXPECT_THAT(take(9), ElementsAre(nullptr, &calls[2]));
  EXPECT_TRUE(more);
  EXPECT_THAT(take(9), ElementsAre(&side));
  EXPECT_TRUE(more);
  EXPECT_THAT(take(9), ElementsAre(nullptr, &calls[3]));
  EXPECT_FALSE(more);
  EXPECT_THAT(take(9), ElementsAre(nullptr));
}

TEST(CompletionQueueTest, WhatIsThereIsThereOnceUntilItIsForgotten) {
  CompletionQueue queue;
  Completion news(false);
  queue.Push(news);
  queue.Push(news);
  EXPECT_EQ(testing::PopOne(queue), &news);
  EXPECT_EQ(testing::PopOne(queue), nullptr);
  queue.Push(news);
  queue.Forget(news);
  EXPECT_EQ(testing::PopOne(queue), nullptr);
}

}  // namespace
}  // namespace nearcall::session
