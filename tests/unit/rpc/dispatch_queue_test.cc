// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/dispatch_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "unit/rpc/server_end.h"

namespace nearcall::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kManyPlaces = 100;

// The only place that a user may have is given back by one thread while this one searches. How often the call of the
// lower lane begins first, of two that are queued.
int LowerLaneIsFirst(DispatchQueue& queue, ClientQueue& client, HandlerSlots& slots, base::Account* account) {
  constexpr int kRounds = 20'000;
  std::atomic<int> taken = 0;
  const std::jthread handler([&] {
    for (int round = 1; round <= kRounds; ++round) {
      while (taken.load() != round) continue;
      slots.Give(account);
    }
  });
  const auto pop = [&] {
    Turn* turn = nullptr;
    while (turn == nullptr) turn = queue.Pop(0, slots);
    slots.Give(account);
    return turn;
  };
  int lower = 0;
  for (int round = 1; round <= kRounds; ++round) {
    EXPECT_TRUE(slots.TryTake(false, account));
    taken = round;
    Turn* const first = pop();
    Turn* const second = pop();
    if (first->call.request().lane() < second->call.request().lane()) ++lower;
    for (Turn* turn : {first, second}) queue.Push(client, *turn);
  }
  return lower;
}

// Three clients, whose calls are pushed and popped at times that the test makes up. A call is known by its id.
class DispatchQueueTest : public ::testing::Test {
 protected:
  ~DispatchQueueTest() override {
    for (Client& client : clients_) queue_.Remove(client.queue, [](Turn& turn) { turn.call.Reset(); });
    for (const auto& call : calls_) call->Reset();
  }

  struct Client {
    explicit Client(ServerCore& core) : end(core) {}
    testing::ServerEnd end;
    ClientQueue queue;
  };

  void Push(size_t client, uint64_t call_id, Priority priority, base::SteadyNs arrived = 0, size_t size = 0) {
    calls_.push_back(clients_[client].end.SendAndRead(
        {.call_id = call_id, .priority = priority, .payload = std::string(size, 'x')}, arrived));
    queue_.Push(clients_[client].queue, calls_.back()->turn());
  }

  // The id of the next call that may start; 0 if there is none.
  uint64_t Pop(base::SteadyNs now, HandlerSlots& slots) {
    Turn* turn = queue_.Pop(now, slots);
    return turn == nullptr ? 0 : turn->call.call_id();
  }

  std::vector<uint64_t> PopAll(base::SteadyNs now = 0) {
    HandlerSlots slots(kManyPlaces);
    std::vector<uint64_t> ids;
    while (const uint64_t id = Pop(now, slots)) ids.push_back(id);
    return ids;
  }

  ServerCore core_{{}, 1};
  Client clients_[3] = {Client(core_), Client(core_), Client(core_)};
  std::vector<std::unique_ptr<IncomingCall>> calls_;
  DispatchQueue queue_;
};

TEST_F(DispatchQueueTest, IsEmptyAtFirst) {
  EXPECT_TRUE(queue_.empty());
  EXPECT_THAT(PopAll(), IsEmpty());
}

TEST_F(DispatchQueueTest, ACallsOfOneClientAndLaneKeepTheirOrder) {
  for (uint64_t id = 1; id <= 3; ++id) Push(0, id, Priority::kNormal);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(DispatchQueueTest, HigherLanesGoFirst) {
  Push(0, 1, Priority::kLow);
  Push(0, 2, Priority::kNormal);
  Push(0, 3, Priority::kUrgent);
  Push(0, 4, Priority::kHigh);
  EXPECT_THAT(PopAll(), ElementsAre(3, 4, 2, 1));
}

TEST_F(DispatchQueueTest, ClientsOfOneLaneTakeTurns) {
  for (uint64_t id = 1; id <= 3; ++id) Push(0, id, Priority::kNormal);
  for (uint64_t id = 11; id <= 12; ++id) Push(1, id, Priority::kNormal);
  Push(2, 21, Priority::kNormal);
  EXPECT_THAT(PopAll(), ElementsAre(1, 11, 21, 2, 12, 3));
}

TEST_F(DispatchQueueTest, AClientThatComesBackStandsBehindTheOthers) {
  HandlerSlots slots(kManyPlaces);
  Push(0, 1, Priority::kNormal);
  Push(1, 11, Priority::kNormal);
  EXPECT_EQ(Pop(0, slots), 1u);
  Push(0, 2, Priority::kNormal);
  EXPECT_THAT(PopAll(), ElementsAre(11, 2));
}

// --- users ---

// Two users: one with two clients, who came first, and one with one.
class DispatchQueueUsersTest : public ::testing::Test {
 protected:
  static constexpr uid_t kAnna = 1001;
  static constexpr uid_t kBert = 1002;

  struct Client {
    Client(ServerCore& core, uid_t user) : end(core, {.max_frame_size = 256, .capacity_frames = 8}, user) {}
    testing::ServerEnd end;
    ClientQueue queue;
  };
  ~DispatchQueueUsersTest() override {
    for (Client& client : clients_) queue_.Remove(client.queue, [](Turn& turn) { turn.call.Reset(); });
    for (const auto& call : calls_) call->Reset();
  }

  void Push(size_t client, uint64_t call_id, Priority priority = Priority::kNormal) {
    calls_.push_back(clients_[client].end.SendAndRead({.call_id = call_id, .priority = priority}, 0));
    queue_.Push(clients_[client].queue, calls_.back()->turn());
  }
  std::vector<uint64_t> PopAll() {
    std::vector<uint64_t> ids;
    while (Turn* turn = queue_.Pop(0, core_.slots)) ids.push_back(turn->call.call_id());
    return ids;
  }

  ServerCore core_{{.max_handler_threads = 8, .allowed_uids = {kAnna, kBert}}, 1};
  Client clients_[3] = {Client(core_, kAnna), Client(core_, kAnna), Client(core_, kBert)};
  std::vector<std::unique_ptr<IncomingCall>> calls_;
  DispatchQueue queue_;
};

TEST_F(DispatchQueueUsersTest, UsersTakeTurnsWhateverTheNumberOfTheirConnections) {
  Push(0, 1);
  Push(1, 2);
  Push(0, 3);
  Push(2, 11);
  Push(2, 12);
  EXPECT_THAT(PopAll(), ElementsAre(1, 11, 2, 12, 3));
}

TEST_F(DispatchQueueUsersTest, WhoHasAllThePlacesItMayHaveIsPassedOver) {
  for (uint64_t id = 1; id <= 8; ++id) Push(id % 2, id);
  EXPECT_THAT(PopAll(), ElementsAre(1, 2, 3, 4, 5, 6)) << "a share of 2, and 4 that are first come";
  Push(0, 9, Priority::kUrgent);
  EXPECT_THAT(PopAll(), IsEmpty());
  Push(2, 11, Priority::kLow);
  EXPECT_THAT(PopAll(), ElementsAre(11));
  core_.slots.Give(clients_[0].end.session().client().account());
  EXPECT_THAT(PopAll(), ElementsAre(9));
}

TEST_F(DispatchQueueUsersTest, APlaceThatIsGivenBackMeanwhileIsForTheBestLane) {
  base::Account* const anna = clients_[0].end.session().client().account();
  while (core_.slots.TryTake(false, anna)) continue;
  core_.slots.Give(anna);
  Push(0, 1, Priority::kLow);
  Push(0, 2, Priority::kHigh);
  EXPECT_EQ(LowerLaneIsFirst(queue_, clients_[0].queue, core_.slots, anna), 0);
}

// --- clients that do not take their replies ---

TEST_F(DispatchQueueTest, NoCallStartsOfAClientThatIsHeld) {
  Push(0, 1, Priority::kNormal);
  Push(0, 2, Priority::kUrgent);
  Push(1, 11, Priority::kLow);
  queue_.Hold(clients_[0].queue, true);
  Push(0, 3, Priority::kHigh);
  EXPECT_THAT(PopAll(), ElementsAre(11));
  EXPECT_FALSE(queue_.empty());
  queue_.Hold(clients_[0].queue, false);
  EXPECT_THAT(PopAll(), ElementsAre(2, 3, 1));
}

TEST_F(DispatchQueueTest, HoldingTwiceIsHoldingOnce) {
  Push(0, 1, Priority::kNormal);
  for (const bool held : {true, true, false, false}) queue_.Hold(clients_[0].queue, held);
  EXPECT_THAT(PopAll(), ElementsAre(1));
}

TEST_F(DispatchQueueTest, CallsOfAClientThatIsHeldCanBeRemoved) {
  Push(0, 1, Priority::kNormal);
  queue_.Hold(clients_[0].queue, true);
  queue_.Remove(clients_[0].queue, [](Turn& turn) { turn.call.Reset(); });
  EXPECT_TRUE(queue_.empty());
}

// --- ageing ---

TEST_F(DispatchQueueTest, ALaneThatHasWaitedLongHasATurnBeforeAHigherOne) {
  Push(0, 1, Priority::kLow, 0);
  const base::SteadyNs just_before = base::kAgeingNs - 1;
  Push(1, 2, Priority::kHigh, just_before);
  HandlerSlots slots(kManyPlaces);
  EXPECT_EQ(Pop(just_before, slots), 2u);

  Push(1, 3, Priority::kHigh, base::kAgeingNs);
  EXPECT_EQ(Pop(base::kAgeingNs, slots), 1u);
}

TEST_F(DispatchQueueTest, AnAgedLaneHasOneTurnAndNoMore) {
  for (uint64_t id = 1; id <= 3; ++id) Push(0, id, Priority::kLow, 0);
  const base::SteadyNs late = 100 * base::kAgeingNs;
  for (uint64_t id = 11; id <= 14; ++id) Push(1, id, Priority::kNormal, late);
  HandlerSlots slots(kManyPlaces);
  EXPECT_EQ(Pop(late, slots), 1u);
  EXPECT_EQ(Pop(late, slots), 11u);
  EXPECT_EQ(Pop(late + base::kAgeingNs - 1, slots), 12u);
  EXPECT_EQ(Pop(late + base::kAgeingNs, slots), 2u);
  EXPECT_EQ(Pop(late + base::kAgeingNs, slots), 13u);
}

TEST_F(DispatchQueueTest, NothingGoesBeforeTheUrgentLane) {
  HandlerSlots slots(kManyPlaces);
  for (uint64_t id = 1; id <= 2; ++id) {
    Push(0, id, Priority::kLow, 0);
    Push(0, 10 + id, Priority::kHigh, 0);
  }
  const base::SteadyNs late = 100 * base::kAgeingNs;
  for (uint64_t id = 21; id <= 23; ++id) Push(1, id, Priority::kUrgent, late);
  for (uint64_t id = 21; id <= 23; ++id) EXPECT_EQ(Pop(late, slots), id);
}

// Each turn takes longer than a lane has to wait: all lanes are aged, all the time.
TEST_F(DispatchQueueTest, LanesTakeTurnsWhereHandlersTakeLong) {
  HandlerSlots slots(kManyPlaces);
  for (uint64_t id = 1; id <= 2; ++id) {
    Push(0, id, Priority::kLow, 0);
    Push(0, 10 + id, Priority::kNormal, 0);
    Push(0, 20 + id, Priority::kHigh, 0);
  }
  std::vector<uint64_t> ids;
  for (int turn = 1; turn <= 6; ++turn) ids.push_back(Pop(turn * 2 * base::kAgeingNs, slots));
  EXPECT_THAT(ids, ElementsAre(21, 11, 1, 22, 12, 2));
}

// --- places ---

TEST_F(DispatchQueueTest, WithoutAPlaceNothingStarts) {
  HandlerSlots slots(1);
  Push(0, 1, Priority::kUrgent);
  EXPECT_TRUE(slots.TryTake(true));
  EXPECT_EQ(Pop(0, slots), 0u);
  EXPECT_FALSE(queue_.empty());
  slots.Give();
  EXPECT_EQ(Pop(0, slots), 1u);
  EXPECT_EQ(slots.taken(), 1u);
}

TEST_F(DispatchQueueTest, TheLastPlaceIsForUrgentCalls) {
  HandlerSlots slots(2);
  Push(0, 1, Priority::kHigh);
  Push(0, 2, Priority::kHigh);
  EXPECT_EQ(Pop(0, slots), 1u);
  EXPECT_EQ(Pop(0, slots), 0u);
  Push(0, 3, Priority::kUrgent);
  EXPECT_EQ(Pop(0, slots), 3u);
}

TEST_F(DispatchQueueTest, AnAgedCallDoesNotKeepAnUrgentOneFromTheLastPlace) {
  HandlerSlots slots(2);
  const base::SteadyNs later = 5 * base::kAgeingNs;
  Push(0, 1, Priority::kLow, 0);
  Push(0, 2, Priority::kUrgent, later);
  EXPECT_TRUE(slots.TryTake(false));
  EXPECT_EQ(Pop(later, slots), 2u);
}

TEST_F(DispatchQueueTest, APlaceThatIsGivenBackMeanwhileIsForTheBestLane) {
  HandlerSlots slots(1);
  Push(0, 1, Priority::kLow);
  Push(0, 2, Priority::kHigh);
  EXPECT_EQ(LowerLaneIsFirst(queue_, clients_[0].queue, slots, nullptr), 0);
}

// --- accounts ---

TEST_F(DispatchQueueTest, CountsCallsAndBytesOfEachClient) {
  HandlerSlots slots(kManyPlaces);
  Push(0, 1, Priority::kNormal, 0, 10);
  Push(0, 2, Priority::kHigh, 0, 20);
  Push(1, 11, Priority::kHigh, 0, 5);
  EXPECT_EQ(clients_[0].queue.turns(), 2u);
  EXPECT_EQ(clients_[0].queue.bytes(), 30u);
  EXPECT_EQ(queue_.turns(static_cast<size_t>(Priority::kHigh)), 2u);
  EXPECT_EQ(Pop(0, slots), 2u);
  EXPECT_EQ(clients_[0].queue.turns(), 1u);
  EXPECT_EQ(clients_[0].queue.bytes(), 10u);
  EXPECT_EQ(clients_[1].queue.bytes(), 5u);
}

TEST_F(DispatchQueueTest, RemovesTheCallsOfAClientThatIsGone) {
  Push(0, 1, Priority::kNormal, 0, 10);
  Push(1, 11, Priority::kNormal);
  Push(0, 2, Priority::kLow, 0, 10);
  Push(0, 3, Priority::kNormal);
  std::vector<uint64_t> dropped;
  queue_.Remove(clients_[0].queue, [&](Turn& turn) { dropped.push_back(turn.call.call_id()); });
  EXPECT_THAT(dropped, ElementsAre(2, 1, 3));
  EXPECT_EQ(clients_[0].queue.turns(), 0u);
  EXPECT_EQ(clients_[0].queue.bytes(), 0u);
  EXPECT_THAT(PopAll(), ElementsAre(11));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(DispatchQueueTest, RemovingAClientWithoutCallsIsHarmless) {
  Push(1, 11, Priority::kNormal);
  queue_.Remove(clients_[0].queue, [](Turn&) { ADD_FAILURE(); });
  EXPECT_THAT(PopAll(), ElementsAre(11));
}

}  // namespace
}  // namespace nearcall::rpc
