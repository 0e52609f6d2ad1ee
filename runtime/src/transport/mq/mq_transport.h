// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "transport/fault.h"
#include "transport/fd_sleeper.h"
#include "transport/mq/queue_reader.h"
#include "transport/mq/queue_size.h"
#include "transport/mq/queue_writer.h"
#include "transport/transport.h"

namespace nearcall::transport::mq {

// What one end of a connection works with.
struct MqEnd {
  base::Fd write_end;                  // of the queue to the peer
  base::Fd read_end;                   // of the queue from the peer
  QueueSize size;                      // of both
  std::unique_ptr<FdSleeper> sleeper;  // the client's; none: the end is waited for in epoll
};

// The transport over two POSIX message queues, both ends. The kernel's priority of a message is its lane, and the
// kernel wakes whoever waits for a queue: there is nothing to ring, and no looking without a system call.
class MqTransport final : public Transport {
 public:
  explicit MqTransport(MqEnd end);

  absl::string_view name() const override { return "mq"; }
  size_t max_frame_size() const override { return max_frame_size_; }

  std::span<std::byte> Reserve(size_t size, int lane) override { return writer_.Reserve(size, lane); }
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override {
    std::copy(from.begin(), from.end(), to.begin());
  }
  void Commit() override { writer_.Commit(); }
  bool Notify() override { return false; }
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return writer_.PeerHasReadAll(); }

  ReadState Peek(size_t& size) override { return reader_.Peek(size); }
  void CopyOut(size_t offset, std::span<std::byte> to) override { reader_.CopyOut(offset, to); }
  void Pop() override { reader_.Pop(); }
  void Release() override {}
  absl::Status error() const override { return fault_.error(); }

  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override { interest_ = 0; }
  void Wait(base::SteadyNs until) override;
  void Interrupt() override;
  WaitFds wait_fds() const override { return sleeper_ == nullptr ? Fds() : WaitFds{}; }
  WaitFds event_fds() const override { return Fds(); }
  bool can_spin() const override { return false; }

 private:
  WaitFds Fds() const { return {.readable = reader_.fd(), .writable = writer_.fd()}; }

  const size_t max_frame_size_;
  const std::unique_ptr<FdSleeper> sleeper_;
  Fault fault_{"mq"};
  QueueWriter writer_;
  QueueReader reader_;
  uint32_t interest_ = 0;  // of the sleeping thread
};

}  // namespace nearcall::transport::mq
