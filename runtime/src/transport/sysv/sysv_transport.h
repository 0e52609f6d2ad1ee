// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/fork.h"
#include "transport/fault.h"
#include "transport/fd_sleeper.h"
#include "transport/sysv/bell.h"
#include "transport/sysv/journal.h"
#include "transport/sysv/queue.h"
#include "transport/sysv/queue_reader.h"
#include "transport/sysv/queue_writer.h"
#include "transport/transport.h"

namespace nearcall::transport::sysv {

// What one end of a connection works with.
struct SysvEnd {
  QueueId outgoing;
  QueueId incoming;
  Bell outgoing_bell;
  Bell incoming_bell;
  size_t max_frame_size;
  pid_t peer;                          // 0: not visible from here
  std::unique_ptr<FdSleeper> sleeper;  // the client's; none: the end is waited for in epoll
  std::optional<Journal> journal;      // the server's
};

// The transport over two System V queues, both ends. The type of a message is its lane; who sleeps waits for the pipe
// beside its queue, which the peer rings.
//
// A queue has no end of its own. So the one who reads it removes it when his end goes; and the other one, too, if
// nothing is in it, or if he who would read it has ended or is dead. What neither does is in the journal.
class SysvTransport final : public Transport {
 public:
  explicit SysvTransport(SysvEnd end);
  ~SysvTransport() override;

  absl::string_view name() const override { return "sysv"; }
  size_t max_frame_size() const override { return end_.max_frame_size; }

  std::span<std::byte> Reserve(size_t size, int lane) override { return writer_.Reserve(size, lane); }
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override {
    std::copy(from.begin(), from.end(), to.begin());
  }
  void Commit() override { writer_.Commit(); }
  bool Notify() override {
    writer_.Notify();
    return false;
  }
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return writer_.PeerHasReadAll(); }

  ReadState Peek(size_t& size) override { return reader_.Peek(size); }
  void CopyOut(size_t offset, std::span<std::byte> to) override { reader_.CopyOut(offset, to); }
  void Pop() override { reader_.Pop(); }
  void Release() override { reader_.Release(); }
  absl::Status error() const override { return fault_.error(); }

  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override {}
  void Wait(base::SteadyNs until) override;
  void Interrupt() override;
  WaitFds wait_fds() const override { return end_.sleeper == nullptr ? event_fds() : WaitFds{}; }
  WaitFds event_fds() const override {
    return {.readable = end_.incoming_bell.fd(), .writable = end_.outgoing_bell.fd()};
  }
  bool can_spin() const override { return false; }
  void OnPeerGone() override { peer_is_gone_.store(true, std::memory_order_relaxed); }

 private:
  bool WaitsForRoom(size_t room);
  bool MayBeRead(QueueId outgoing) const;

  const base::ForkGuard fork_guard_;
  SysvEnd end_;
  Fault fault_{"sysv"};
  QueueWriter writer_;
  QueueReader reader_;
  int vain_rings_ = 0;  // of the sleeping thread
  std::atomic<bool> peer_is_gone_{false};
  uint32_t interest_ = 0;  // as last armed; of the sleeping thread
};

}  // namespace nearcall::transport::sysv
