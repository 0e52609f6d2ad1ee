// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/dispatch_queue.h"

#include <algorithm>

#include "base/no_memory.h"
#include "rpc/server/incoming_call.h"

namespace nearcall::rpc {

namespace {

constexpr size_t kUrgentLane = static_cast<size_t>(Priority::kUrgent);

}  // namespace

void DispatchQueue::Push(ClientQueue& client, Turn& turn) {
  const Request& request = turn.call.request();
  if (client.user_ == nullptr) client.user_ = &QueueOf(request.session->client().account());
  ClientQueue::Lane& lane = client.lanes_[request.lane()];
  lane.client = &client;
  lane.turns.PushBack(turn);
  if (!lane.linked() && !client.held_) Link(client, request.lane());
  Account(client, turn, true);
}

UserQueue& DispatchQueue::QueueOf(base::Account* account) {
  for (const auto& user : users_) {
    if (user->account_ == account) return *user;
  }
  base::UntilThereIsMemory([&] { users_.push_back(std::make_unique<UserQueue>(account)); });
  return *users_.back();
}

// Behind the user's other clients, and the user behind the others.
void DispatchQueue::Link(ClientQueue& client, size_t lane) {
  UserQueue::Lane& user = client.user_->lanes_[lane];
  user.user = client.user_;
  user.clients.PushBack(client.lanes_[lane]);
  if (!user.linked()) lanes_[lane].PushBack(user);
}

void DispatchQueue::Unlink(ClientQueue& client, size_t lane) {
  if (!client.lanes_[lane].linked()) return;
  client.lanes_[lane].Unlink();
  UserQueue::Lane& user = client.user_->lanes_[lane];
  if (user.clients.empty()) user.Unlink();
}

void DispatchQueue::Account(ClientQueue& client, const Turn& turn, bool in) {
  const Request& request = turn.call.request();
  const size_t bytes = turn.kind == Turn::Kind::kCall ? request.message.header.message_size : 0;
  if (in) {
    ++turns_;
    lane_turns_[request.lane()].fetch_add(1, std::memory_order_relaxed);
    ++client.turns_;
    client.bytes_ += bytes;
  } else {
    --turns_;
    lane_turns_[request.lane()].fetch_sub(1, std::memory_order_relaxed);
    --client.turns_;
    client.bytes_ -= bytes;
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
  return now - std::max(lanes_[lane].front()->clients.front()->turns.front()->queued_at, last_turns_[lane]);
}

Turn* DispatchQueue::Pop(base::SteadyNs now, HandlerSlots& slots) {
  const size_t best = BestLane(now);
  if (best == lanes_.size()) return nullptr;
  Look look{.now = now, .slots = slots, .number = ++looks_};
  if (Turn* turn = TryTake(best, look)) return turn;
  // All users of that lane may have what they may have; those of another one go on.
  for (size_t lane = lanes_.size(); lane-- > 0 && !look.all_are_taken;) {
    if (lane == best) continue;
    if (Turn* turn = TryTake(lane, look)) return turn;
  }
  return nullptr;
}

Turn* DispatchQueue::TryTake(size_t lane, Look& look) {
  UserQueue::Lane* turn = nullptr;
  lanes_[lane].ForEachUntil([&](UserQueue::Lane& user) {
    if (user.user->passed_over_in_ == look.number) return false;
    const HandlerSlots::Taken taken = look.slots.Take(lane == kUrgentLane, user.user->account_);
    if (taken == HandlerSlots::Taken::kYes) turn = &user;
    if (taken == HandlerSlots::Taken::kUserHasItsPart) user.user->passed_over_in_ = look.number;
    look.all_are_taken = taken == HandlerSlots::Taken::kAllAreTaken;
    return taken != HandlerSlots::Taken::kUserHasItsPart;
  });
  if (turn == nullptr) return nullptr;
  last_turns_[lane] = look.now;
  return TakeOf(*turn, lane);
}

Turn* DispatchQueue::TakeOf(UserQueue::Lane& user, size_t lane) {
  ClientQueue::Lane* client = user.clients.PopFront();
  Turn* turn = client->turns.PopFront();
  if (!client->turns.empty()) user.clients.PushBack(*client);
  user.Unlink();
  if (!user.clients.empty()) lanes_[lane].PushBack(user);
  Account(*client->client, *turn, false);
  return turn;
}

void DispatchQueue::Hold(ClientQueue& client, bool held) {
  if (client.held_ == held) return;
  client.held_ = held;
  for (size_t i = 0; i < client.lanes_.size(); ++i) {
    if (held) {
      Unlink(client, i);
    } else if (!client.lanes_[i].turns.empty()) {
      Link(client, i);
    }
  }
}

void DispatchQueue::Remove(ClientQueue& client, absl::FunctionRef<void(Turn&)> drop) {
  for (size_t i = 0; i < client.lanes_.size(); ++i) {
    Unlink(client, i);
    while (Turn* turn = client.lanes_[i].turns.PopFront()) {
      Account(client, *turn, false);
      drop(*turn);
    }
  }
}

}  // namespace nearcall::rpc
