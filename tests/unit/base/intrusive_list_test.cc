// SPDX-License-Identifier: Apache-2.0
#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace nearcall::base {
namespace {

struct ByAge;
struct ByName;

struct Item : ListNode<ByAge>, ListNode<ByName> {
  explicit Item(int value) : number(value) {}
  int number;

  ListNode<ByAge>& in_age() { return *this; }
  ListNode<ByName>& in_name() { return *this; }
};

using AgeList = List<Item, ByAge>;
using NameList = List<Item, ByName>;

template <typename SomeList>
std::vector<int> Numbers(SomeList& list) {
  std::vector<int> numbers;
  list.ForEachUntil([&](Item& item) {
    numbers.push_back(item.number);
    return false;
  });
  return numbers;
}

class IntrusiveListTest : public ::testing::Test {
 protected:
  void PushAll() {
    for (Item& item : items_) list_.PushBack(item);
  }

  std::array<Item, 3> items_{Item(1), Item(2), Item(3)};
  AgeList list_;
};

TEST_F(IntrusiveListTest, AnEmptyListHasNoFront) {
  EXPECT_TRUE(list_.empty());
  EXPECT_EQ(list_.front(), nullptr);
  EXPECT_EQ(list_.PopFront(), nullptr);
  EXPECT_EQ(Numbers(list_), std::vector<int>());
}

TEST_F(IntrusiveListTest, KeepsTheOrder) {
  PushAll();
  EXPECT_EQ(Numbers(list_), (std::vector{1, 2, 3}));
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(list_.PopFront()->number, i);
  EXPECT_TRUE(list_.empty());
}

TEST_F(IntrusiveListTest, UnlinksAnywhere) {
  for (size_t gone = 0; gone < 3; ++gone) {
    PushAll();
    items_[gone].in_age().Unlink();
    EXPECT_FALSE(items_[gone].in_age().linked());
    std::vector<int> rest = {1, 2, 3};
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(gone));
    EXPECT_EQ(Numbers(list_), rest);
    while (list_.PopFront() != nullptr) {
    }
  }
}

TEST_F(IntrusiveListTest, UnlinkingTwiceIsHarmless) {
  PushAll();
  items_[1].in_age().Unlink();
  items_[1].in_age().Unlink();
  EXPECT_EQ(Numbers(list_), (std::vector{1, 3}));
}

TEST_F(IntrusiveListTest, WhatWasPoppedIsNoLongerLinkedAndMayComeBack) {
  PushAll();
  Item* first = list_.PopFront();
  EXPECT_FALSE(first->in_age().linked());
  list_.PushBack(*first);
  EXPECT_TRUE(first->in_age().linked());
  EXPECT_EQ(Numbers(list_), (std::vector{2, 3, 1}));
}

TEST_F(IntrusiveListTest, AnItemStandsInSeveralLists) {
  NameList names;
  PushAll();
  names.PushBack(items_[2]);
  names.PushBack(items_[0]);
  items_[2].in_age().Unlink();
  EXPECT_EQ(Numbers(list_), (std::vector{1, 2}));
  EXPECT_EQ(Numbers(names), (std::vector{3, 1}));
}

TEST_F(IntrusiveListTest, ForEachMayUnlinkWhatItVisits) {
  PushAll();
  list_.ForEachUntil([](Item& item) {
    if (item.number != 2) item.in_age().Unlink();
    return false;
  });
  EXPECT_EQ(Numbers(list_), (std::vector{2}));
}

TEST_F(IntrusiveListTest, ForEachEndsWhenToldTo) {
  PushAll();
  int visited = 0;
  list_.ForEachUntil([&](Item& item) {
    ++visited;
    return item.number == 2;
  });
  EXPECT_EQ(visited, 2);
}

}  // namespace
}  // namespace nearcall::base
