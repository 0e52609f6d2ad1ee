// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "base/quota.h"
#include "rpc/server/handler_slots.h"
#include "rpc/server/turn.h"

namespace nearcall::rpc {

class UserQueue;

// The turns of one client's calls that wait, a queue for each lane. Part of its connection.
class ClientQueue {
 public:
  size_t turns() const { return turns_; }
  // Of the requests among them.
  size_t bytes() const { return bytes_; }

 private:
  friend class DispatchQueue;
  friend class UserQueue;

  struct Lane : base::ListNode<Lane> {
    base::List<Turn, InLane> turns;
    ClientQueue* client = nullptr;
  };

  std::array<Lane, base::kLanes> lanes_;
  UserQueue* user_ = nullptr;  // since its first turn
  size_t turns_ = 0;
  size_t bytes_ = 0;
  bool held_ = false;
};

// The clients of one user that have something waiting, in turn.
class UserQueue {
 public:
  explicit UserQueue(base::Account* account) : account_(account) {}

 private:
  friend class DispatchQueue;

  struct Lane : base::ListNode<Lane> {
    base::List<ClientQueue::Lane> clients;
    UserQueue* user = nullptr;
  };

  base::Account* const account_;
  std::array<Lane, base::kLanes> lanes_;
  uint64_t passed_over_in_ = 0;  // the look in which it had its part
};

// What a poller has read and not yet run: the highest lane first, users of one lane in turn, clients of one user in
// turn, each client's own in order. A lane that has had no turn for kAgeingNs has one before those above it, so that
// none starves; never more than one, so that no backlog holds up a higher lane. Nothing goes before the urgent lane. A
// user whose handlers have all the places that it may have is passed over.
//
// Used by one thread at a time, but for turns(lane). Owns no turn.
class DispatchQueue {
 public:
  void Push(ClientQueue& client, Turn& turn);

  // The next turn that may begin now, with a place taken for it; nullptr if there is none. The last place is given to
  // the urgent lane only.
  Turn* Pop(base::SteadyNs now, HandlerSlots& slots);

  // Whether the turns of `client` stay in the queue for the time being.
  void Hold(ClientQueue& client, bool held);

  // Takes all turns of `client` out.
  void Remove(ClientQueue& client, absl::FunctionRef<void(Turn&)> drop);

  bool empty() const { return turns_ == 0; }
  // Any thread may ask.
  size_t turns(size_t lane) const { return lane_turns_[lane].load(std::memory_order_relaxed); }

 private:
  // A search for the next turn. A place that is given back meanwhile is for the next one, which begins at the best lane
  // again: else a lower lane could have it.
  struct Look {
    base::SteadyNs now;
    HandlerSlots& slots;
    uint64_t number;
    bool all_are_taken = false;
  };

  UserQueue& QueueOf(base::Account* account);
  void Link(ClientQueue& client, size_t lane);
  void Unlink(ClientQueue& client, size_t lane);
  size_t BestLane(base::SteadyNs now);
  int64_t Waited(size_t lane, base::SteadyNs now);
  Turn* TryTake(size_t lane, Look& look);
  Turn* TakeOf(UserQueue::Lane& user, size_t lane);
  void Account(ClientQueue& client, const Turn& turn, bool in);

  // Users that have something in the lane, in turn.
  std::array<base::List<UserQueue::Lane>, base::kLanes> lanes_;
  std::array<base::SteadyNs, base::kLanes> last_turns_{};
  std::array<std::atomic<size_t>, base::kLanes> lane_turns_{};  // written by the one thread
  size_t turns_ = 0;
  uint64_t looks_ = 0;
  // As many as the server has accounts, at most.
  std::vector<std::unique_ptr<UserQueue>> users_;
};

}  // namespace nearcall::rpc
