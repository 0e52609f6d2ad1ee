// SPDX-License-Identifier: Apache-2.0
#include "session/slot_line.h"

#include "absl/strings/str_cat.h"

namespace nearcall::session {

bool SlotLine::IsNext(const Waiting& waiting, size_t lane) {
  if (full()) return false;
  for (size_t i = lanes_.size(); i-- > lane;) {
    if (!lanes_[i].empty()) return i == lane && lanes_[i].front() == &waiting;
  }
  return true;
}

void SlotLine::Stand(Waiting& waiting, size_t lane) {
  base::ListNode<WaitsInLine>& place = waiting;
  if (place.linked() && waiting.line == lane) return;
  place.Unlink();
  waiting.line = lane;
  lanes_[lane].PushBack(waiting);
}

void SlotLine::Leave(Waiting& waiting) {
  base::ListNode<WaitsInLine>& place = waiting;
  place.Unlink();
}

Waiting* SlotLine::Next() {
  if (full()) return nullptr;
  for (size_t i = lanes_.size(); i-- > 0;) {
    if (!lanes_[i].empty()) return lanes_[i].front();
  }
  return nullptr;
}

void SlotLine::TellNext(ReaderRole& role) {
  if (Waiting* const next = Next()) role.Tell(*next);
}

void SlotLine::TellAll(ReaderRole& role) {
  for (auto& lane : lanes_) {
    lane.ForEachUntil([&](Waiting& waiting) {
      role.Tell(waiting);
      return false;
    });
  }
}

std::string SlotLine::WhyFull(const ServerName& server) const {
  if (!has_room_for_bytes()) {
    return absl::StrCat(outbox_.held().all(), " B of requests to ", server.address, " wait for room in the ",
                        server.transport, " transport, more than ChannelOptions::max_queued_bytes (", max_queued_bytes_,
                        " B)");
  }
  return absl::StrCat(calls_.in_use(), " calls to ", server.address,
                      " are in flight, as many as ChannelOptions::max_calls_in_flight and the server's "
                      "ServerOptions::max_queued_calls allow");
}

}  // namespace nearcall::session
