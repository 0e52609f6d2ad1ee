// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/intrusive_list.h"
#include "base/limits.h"
#include "session/outgoing.h"

namespace nearcall::session {

// What waits to be sent on one connection, and the rule what goes next. Before each frame the highest lane that has one
// waiting is chosen; within it flows take turns frame by frame, but only one message may be in the middle (a lane
// carries at most one partial message). The choice takes the same time however many wait, and needs no memory.
//
// Not synchronised: the outbox's lock guards it. Owns no message.
class SendLanes {
 public:
  bool empty() const { return waiting_ == 0; }
  // Messages, of one lane.
  size_t waiting(size_t lane) const { return lanes_[lane].waiting; }

  // Whether a frame of `lane` may be sent before all that waits.
  bool Overtakes(size_t lane) const;
  // Whether the next frame of `message`, which does not wait, may: it overtakes, and no other one is in the middle.
  bool MayGo(const Outgoing& message) const;

  // It waits from now on, behind those of its flow.
  void Add(Outgoing& message);
  void Remove(Outgoing& message);
  // What waits of a flow is in order with nothing that comes.
  static void Leave(Flow& flow);

  // Whose frame is next; nullptr: nobody may.
  Outgoing* Next();
  // A frame of `message` has been sent; `done`: its last one.
  void NoteSent(Outgoing& message, bool done);
  // It has had its turn, and waits on.
  void TakeAnotherTurn(Outgoing& message);
  // The first frames of `message` were sent by its sender; it goes on in its place.
  void GoOn(Outgoing& message) { lanes_[message.lane].partial = &message; }

  // `message`, which has been begun and is given up, is to be followed by the frame that says so: that waits from now
  // on in its place.
  void AddForget(Outgoing& message);
  void DropForget(const Outgoing& message) { lanes_[message.lane].forget.reset(); }

  // Any that waits; nullptr: none does. Then nothing is in the middle any more.
  Outgoing* Last();

 private:
  // A flow stands here with the first of its messages. What is partial stands in no list.
  struct Lane {
    base::List<Outgoing> small;      // one frame each
    base::List<Outgoing> large;      // not begun
    Outgoing* partial = nullptr;     // begun and not ended: it may wait, or be in its sender's hands
    std::optional<Outgoing> forget;  // the partial one, once that has been given up
    size_t waiting = 0;              // messages, those behind others of their flow too
  };

  static Outgoing* NextOf(Lane& lane);
  void TakeTurn(Outgoing& message);
  void LeaveFlow(Outgoing& message);

  std::array<Lane, base::kLanes> lanes_;
  size_t waiting_ = 0;  // messages of all lanes
  uint64_t turns_ = 0;  // that have been given out
};

}  // namespace nearcall::session
