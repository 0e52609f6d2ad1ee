// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/in_queue.h"

#include <sys/epoll.h>

#include <utility>

namespace nearcall::rpc {

// The user's code must not run when an event is told: that asks for a turn, which may be a later one.
class InQueue::Part final : public base::Reactor::Target {
 public:
  Part(base::Reactor& reactor, TakeTurn take_turn) : reactor_(reactor), take_turn_(std::move(take_turn)) {}

  void set_id(base::Reactor::Id id) { id_ = id; }

  void OnReady(uint32_t, uint32_t) override { reactor_.Schedule(id_); }
  size_t OnTurn(size_t max) override { return take_turn_(max); }

 private:
  base::Reactor& reactor_;
  const TakeTurn take_turn_;
  base::Reactor::Id id_ = 0;  // set before anything is watched
};

absl::Status InQueue::Begin(base::Reactor& reactor, int epoll, TakeTurn take_turn) {
  const auto part = std::make_shared<Part>(reactor, std::move(take_turn));
  id_ = reactor.Add(part);
  part->set_id(id_);
  reactor_ = &reactor;
  epoll_ = epoll;
  return reactor.Watch(id_, 0, epoll, EPOLLIN);
}

void InQueue::End() {
  if (reactor_ == nullptr || reactor_->InChild() || std::exchange(ended_, true)) return;
  reactor_->Unwatch(epoll_);
  reactor_->Remove(id_);
}

}  // namespace nearcall::rpc
