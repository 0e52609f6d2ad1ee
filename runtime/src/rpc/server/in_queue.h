// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "base/reactor.h"

namespace nearcall::rpc {

// How a part of a server that has no threads works: in the turns of its event queue, whenever something has come to an
// epoll that the part has for itself, or when it asks for a turn. Begin() and End() by one thread at a time; Schedule()
// by any after Begin().
class InQueue {
 public:
  // Runs at most so many pieces of the user's code; how many it has run.
  using TakeTurn = std::function<size_t(size_t max)>;

  InQueue() = default;
  InQueue(const InQueue&) = delete;
  InQueue& operator=(const InQueue&) = delete;
  // End().
  ~InQueue() { End(); }

  absl::Status Begin(base::Reactor& reactor, int epoll, TakeTurn take_turn);

  // One more turn, soon; none after End().
  void Schedule() { reactor_->Schedule(id_); }

  // From now on there are no turns, nor is one going on, unless this is called from within it. Does nothing before
  // Begin(), and in a forked child, whose queue is the parent's.
  void End();

 private:
  class Part;

  base::Reactor* reactor_ = nullptr;
  base::Reactor::Id id_ = 0;
  int epoll_ = -1;
  bool ended_ = false;
};

}  // namespace nearcall::rpc
