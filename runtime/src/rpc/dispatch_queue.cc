#include "rpc/dispatch_queue.h"

#include <algorithm>

namespace nearcall::rpc {

namespace {

constexpr size_t kUrgentLane = static_cast<size_t>(Priority::kUrgent);

}  // namespace

void DispatchQueue::Push(ClientQueue& client, ServerCallImpl& call) {
  ClientQueue::Lane& lane = client.lanes_[call.lane()];
  lane.client = &client;
  lane.calls.PushBack(call);
  if (!lane.linked() && !client.held_) lanes_[call.lane()].PushBack(lane);
  Account(client, call, true);
}

void DispatchQueue::Account(ClientQueue& client, const ServerCallImpl& call, bool in) {
  if (in) {
    ++calls_;
    lane_calls_[call.lane()].fetch_add(1, std::memory_order_relaxed);
    ++client.calls_;
    client.bytes_ += call.request_size();
  } else {
    --calls_;
    lane_calls_[call.lane()].fetch_sub(1, std::memory_order_relaxed);
    --client.calls_;
    client.bytes_ -= call.request_size();
  }
}

// Of the lanes that are not empty; past the last one if all are.
size_t DispatchQueue::BestLane(base::SteadyNs now) {
  size_t highest = lanes_.size();
  while (highest != 0 && lanes_[highest - 1].empty()) --highest;
  if (highest == 0) return lanes_.size();
  size_t best = --highest;
  if (highest == kUrgentLane) return best;
  // Where handlers take longer than kAgeingNs, lanes take turns.
  int64_t longest = Waited(highest, now);
  for (size_t i = highest; i-- > 0;) {
    if (lanes_[i].empty()) continue;
    const int64_t waited = Waited(i, now);
    if (waited < base::kAgeingNs || waited <= longest) continue;
    longest = waited;
    best = i;
  }
  return best;
}

// How long the lane has waited for a turn.
int64_t DispatchQueue::Waited(size_t lane, base::SteadyNs now) {
  return now - std::max(lanes_[lane].front()->calls.front()->arrived(), last_turns_[lane]);
}

ServerCallImpl* DispatchQueue::Pop(base::SteadyNs now, HandlerSlots& slots) {
  const size_t best = BestLane(now);
  if (best == lanes_.size() || !slots.TryTake(best == kUrgentLane)) return nullptr;
  return Take(best, now);
}

ServerCallImpl* DispatchQueue::Take(size_t lane, base::SteadyNs now) {
  ClientQueue::Lane* turn = lanes_[lane].PopFront();
  ServerCallImpl* call = turn->calls.PopFront();
  if (!turn->calls.empty()) lanes_[lane].PushBack(*turn);
  last_turns_[lane] = now;
  Account(*turn->client, *call, false);
  return call;
}

void DispatchQueue::Hold(ClientQueue& client, bool held) {
  if (client.held_ == held) return;
  client.held_ = held;
  for (size_t i = 0; i < client.lanes_.size(); ++i) {
    ClientQueue::Lane& lane = client.lanes_[i];
    if (held) {
      lane.Unlink();
    } else if (!lane.calls.empty()) {
      lanes_[i].PushBack(lane);
    }
  }
}

void DispatchQueue::Remove(ClientQueue& client, const std::function<void(ServerCallImpl&)>& drop) {
  for (ClientQueue::Lane& lane : client.lanes_) {
    lane.Unlink();
    while (ServerCallImpl* call = lane.calls.PopFront()) {
      Account(client, *call, false);
      drop(*call);
    }
  }
}

}  // namespace nearcall::rpc
