// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "transport/fd_sleeper.h"
#include "transport/fifo/line.h"
#include "transport/framed_reader.h"
#include "transport/framing.h"
#include "transport/transport.h"

namespace nearcall::transport::fifo {

// The transport over two FIFOs, both ends. The kernel wakes who sleeps, so nobody has to say that he does. The end of
// what is read is no more than that: the peer has gone, and whoever watches for that (FifoControl) tells of it.
class FifoTransport final : public Transport {
 public:
  // `sleeper`: the client's; none: the end waits in epoll.
  FifoTransport(std::shared_ptr<Line> line, std::unique_ptr<FdSleeper> sleeper);

  absl::string_view name() const override { return "fifo"; }
  size_t max_frame_size() const override { return kMaxFrameSize; }

  std::span<std::byte> Reserve(size_t size, int /*lane*/) override { return line_->Reserve(size); }
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override;
  void Commit() override { line_->Commit(); }
  bool Flush() override { return line_->Flush(); }
  bool Notify() override;
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return line_->PeerHasReadAll(); }

  ReadState Peek(size_t& size) override { return reader_.Peek(size); }
  void CopyOut(size_t offset, std::span<std::byte> to) override { reader_.CopyOut(offset, to); }
  void Pop() override { reader_.Pop(); }
  void Release() override { reader_.Release(); }
  absl::Status error() const override { return line_->fault().error(); }

  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override {}
  void Wait(base::SteadyNs until) override;
  void Interrupt() override;
  WaitFds wait_fds() const override { return sleeper_ == nullptr ? event_fds() : WaitFds{}; }
  WaitFds event_fds() const override { return {.readable = line_->incoming(), .writable = line_->outgoing()}; }
  bool can_spin() const override { return false; }
  void OnPeerGone() override { line_->OnPeerGone(); }

 private:
  WaitFds WhatTellsNews() const;

  const std::shared_ptr<Line> line_;
  const std::unique_ptr<FdSleeper> sleeper_;
  FramedReader reader_;
  uint32_t interest_ = 0;  // as last armed; of the sleeping thread
};

}  // namespace nearcall::transport::fifo
