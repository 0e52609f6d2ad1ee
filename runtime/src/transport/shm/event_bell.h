// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "base/fd.h"
#include "transport/shm/bell.h"

namespace nearcall::transport::shm {

// An eventfd(2): where one thread waits for many peers, in epoll. The side that waits never reads it: edge-triggered
// epoll reports every write, so there is nothing to drain, and nothing that a peer could make block by clearing
// O_NONBLOCK, which belongs to both sides. Its counter does not overflow in a machine's life.
//
// The side that rings has no such luck: a hostile owner can fill the counter and clear O_NONBLOCK, and eventfds know no
// RWF_NOWAIT for writing. A thread that is caught so is freed by Unblock().
class EventBell final : public Bell {
 public:
  // INTERNAL if `fd` is something else, which might block for ever, ask somebody (FUSE), or raise SIGPIPE when it is
  // written.
  static absl::Status Verify(const base::Fd& fd);

  explicit EventBell(base::Fd fd) : fd_(std::move(fd)) {}

  void Ring() override;
  bool Wait(base::SteadyNs) override { return false; }
  bool can_wait() const override { return false; }
  int fd() const override { return fd_.get(); }
  void Interrupt() override {}
  void Unblock() override;

 private:
  const base::Fd fd_;
};

}  // namespace nearcall::transport::shm
