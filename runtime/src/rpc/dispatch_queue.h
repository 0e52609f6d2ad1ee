#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "rpc/handler_slots.h"
#include "rpc/server_call.h"

namespace nearcall::rpc {

// The requests that one client has waiting for a handler, a queue for each lane. Part of its connection.
class ClientQueue {
 public:
  size_t calls() const { return calls_; }
  size_t bytes() const { return bytes_; }

 private:
  friend class DispatchQueue;

  struct Lane : base::ListNode<Lane> {
    base::List<ServerCallImpl, InLane> calls;
    ClientQueue* client = nullptr;
  };

  std::array<Lane, base::kLanes> lanes_;
  size_t calls_ = 0;
  size_t bytes_ = 0;
  bool held_ = false;
};

// What a poller has read and not yet run: the highest lane first, clients of one lane in turn, each client's calls in
// order. A lane that has had no turn for kAgeingNs has one before those above it, so that none starves; never more than
// one, so that no backlog holds up a higher lane. Nothing goes before the urgent lane.
//
// Used by one thread at a time, but for calls(lane). Owns nothing.
class DispatchQueue {
 public:
  void Push(ClientQueue& client, ServerCallImpl& call);

  // The next call that may start now, with a place taken for it; nullptr if there is none. The last place is given to
  // calls of the urgent lane only.
  ServerCallImpl* Pop(base::SteadyNs now, HandlerSlots& slots);

  // Whether the calls of `client` stay in the queue for the time being.
  void Hold(ClientQueue& client, bool held);

  // Takes all calls of `client` out.
  void Remove(ClientQueue& client, const std::function<void(ServerCallImpl&)>& drop);

  bool empty() const { return calls_ == 0; }
  // Any thread may ask.
  size_t calls(size_t lane) const { return lane_calls_[lane].load(std::memory_order_relaxed); }

 private:
  size_t BestLane(base::SteadyNs now);
  int64_t Waited(size_t lane, base::SteadyNs now);
  ServerCallImpl* Take(size_t lane, base::SteadyNs now);
  void Account(ClientQueue& client, const ServerCallImpl& call, bool in);

  // Clients that have something in the lane, in turn.
  std::array<base::List<ClientQueue::Lane>, base::kLanes> lanes_;
  std::array<base::SteadyNs, base::kLanes> last_turns_{};
  std::array<std::atomic<size_t>, base::kLanes> lane_calls_{};  // written by the one thread
  size_t calls_ = 0;
};

}  // namespace nearcall::rpc
