#include "rpc/dispatch_queue.h"

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
  size_t best = lanes_.size();
  int64_t best_rank = -1;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].empty()) continue;
    const int64_t age = now - lanes_[i].front()->calls.front()->arrived();
    const int64_t rank = static_cast<int64_t>(i) + age / base::kAgeingNs;
    if (rank >= best_rank) {
      best_rank = rank;
      best = i;
    }
  }
  return best;
}

ServerCallImpl* DispatchQueue::Pop(base::SteadyNs now, HandlerSlots& slots) {
  const size_t best = BestLane(now);
  if (best == lanes_.size()) return nullptr;
  if (slots.TryTake(best == kUrgentLane)) return Take(best);
  if (best != kUrgentLane && !lanes_[kUrgentLane].empty() && slots.TryTake(true)) return Take(kUrgentLane);
  return nullptr;
}

ServerCallImpl* DispatchQueue::Take(size_t lane) {
  ClientQueue::Lane* turn = lanes_[lane].PopFront();
  ServerCallImpl* call = turn->calls.PopFront();
  if (!turn->calls.empty()) lanes_[lane].PushBack(*turn);
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
