// SPDX-License-Identifier: Apache-2.0
#include "session/send_lanes.h"

#include <algorithm>
#include <utility>

namespace nearcall::session {

bool SendLanes::Overtakes(size_t lane) const {
  if (waiting_ == 0) return true;
  return std::all_of(lanes_.begin() + static_cast<std::ptrdiff_t>(lane), lanes_.end(),
                     [](const Lane& higher) { return higher.waiting == 0; });
}

bool SendLanes::MayGo(const Outgoing& message) const {
  const Outgoing* partial = lanes_[message.lane].partial;
  return (message.whole || partial == nullptr || partial == &message) && Overtakes(message.lane);
}

void SendLanes::Add(Outgoing& message) {
  message.waits = true;
  ++lanes_[message.lane].waiting;
  ++waiting_;
  if (message.flow != nullptr) message.ahead = std::exchange(message.flow->last_, &message);
  if (message.ahead == nullptr) {
    TakeTurn(message);
  } else {
    message.ahead->behind = &message;
  }
}

// To the end of its lane.
void SendLanes::TakeTurn(Outgoing& message) {
  Lane& lane = lanes_[message.lane];
  message.turn = ++turns_;
  if (&message != lane.partial) (message.whole ? lane.small : lane.large).PushBack(message);
}

void SendLanes::TakeAnotherTurn(Outgoing& message) {
  message.Unlink();
  TakeTurn(message);
}

void SendLanes::Remove(Outgoing& message) {
  message.Unlink();
  message.waits = false;
  --lanes_[message.lane].waiting;
  --waiting_;
  LeaveFlow(message);
}

void SendLanes::LeaveFlow(Outgoing& message) {
  Outgoing* const ahead = std::exchange(message.ahead, nullptr);
  Outgoing* const behind = std::exchange(message.behind, nullptr);
  if (ahead != nullptr) ahead->behind = behind;
  if (behind != nullptr) {
    behind->ahead = ahead;
    if (ahead == nullptr) TakeTurn(*behind);
  } else if (message.flow != nullptr) {
    message.flow->last_ = ahead;
  }
}

void SendLanes::Leave(Flow& flow) {
  for (Outgoing* message = flow.last_; message != nullptr; message = message->ahead) message->flow = nullptr;
  flow.last_ = nullptr;
}

Outgoing* SendLanes::Next() {
  for (size_t i = lanes_.size(); i-- > 0;) {
    if (Outgoing* const message = NextOf(lanes_[i]); message != nullptr) return message;
  }
  return nullptr;
}

// Of those that may go, who waits longest.
Outgoing* SendLanes::NextOf(Lane& lane) {
  Outgoing* const small = lane.small.front();
  Outgoing* large = lane.partial;
  if (large == nullptr) {
    large = lane.large.front();
  } else if (!large->waits) {
    large = nullptr;
  }
  if (small == nullptr || large == nullptr) return small == nullptr ? large : small;
  return small->turn < large->turn ? small : large;
}

void SendLanes::NoteSent(Outgoing& message, bool done) {
  message.started = true;
  if (!message.whole) lanes_[message.lane].partial = message.given_up || done ? nullptr : &message;
}

void SendLanes::AddForget(Outgoing& message) {
  message.given_up = true;
  Lane& lane = lanes_[message.lane];
  lane.partial = &lane.forget.emplace(Outgoing::Forget(), message);
  Add(*lane.partial);
}

Outgoing* SendLanes::Last() {
  for (Lane& lane : lanes_) {
    if (lane.waiting != 0) {
      Outgoing* const listed = lane.small.empty() ? lane.large.front() : lane.small.front();
      return listed != nullptr ? listed : lane.partial;
    }
    lane.partial = nullptr;
  }
  return nullptr;
}

}  // namespace nearcall::session
