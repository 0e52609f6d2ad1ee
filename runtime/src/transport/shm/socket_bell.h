// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/fd_sleeper.h"
#include "transport/shm/bell.h"

namespace nearcall::transport::shm {

// One end of a pair of stream sockets: for a client that waits in epoll, and sometimes by itself. The server rings by a
// byte, without waiting for room (MSG_DONTWAIT, where the peer has no say: an eventfd's O_NONBLOCK is shared). A bell
// that is full has been rung. Nothing can be sent the other way. What the server could send beside bytes, descriptors,
// is never taken: the kernel would close them on this side's thread. A bell in which there are some is not emptied any
// more, and rings no more when it is full.
//
// The side that hears used by one thread at a time, but for Interrupt().
class SocketBell final : public Bell {
 public:
  struct Pair {
    base::Fd rings;  // the server's
    base::Fd hears;  // the client's
  };
  static absl::StatusOr<Pair> Create();

  // INTERNAL if `fd` is something else.
  static absl::Status Verify(const base::Fd& fd);

  // The end that is rung needs a sleeper.
  explicit SocketBell(base::Fd fd, std::unique_ptr<FdSleeper> sleeper = nullptr)
      : fd_(std::move(fd)), sleeper_(std::move(sleeper)) {}
  ~SocketBell() override;

  void Ring() override;
  bool Wait(base::SteadyNs until) override;
  bool can_wait() const override { return sleeper_ != nullptr; }
  int fd() const override { return fd_.get(); }
  void Clear() override;
  void Interrupt() override;
  void Unblock() override {}

 private:
  bool Take();

  base::Fd fd_;
  const std::unique_ptr<FdSleeper> sleeper_;
  int events_ = 0;  // since it was emptied
  bool peer_is_gone_ = false;
};

}  // namespace nearcall::transport::shm
