// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "base/fd.h"
#include "transport/fault.h"
#include "transport/fd_sleeper.h"
#include "transport/framed_reader.h"
#include "transport/framed_writer.h"
#include "transport/framing.h"
#include "transport/transport.h"

namespace nearcall::transport::pipe {

// What one end of a connection works with. Both descriptors are opened for reading and writing, non-blocking, and for
// this end alone: so a pipe has always a reader and a writer, and there is no SIGPIPE, no end of file and no hang-up;
// and nobody else can make a call block.
struct PipeEnd {
  base::Fd incoming;
  base::Fd outgoing;
  std::unique_ptr<FdSleeper> sleeper;  // the client's; none: the end waits in epoll
};

// The transport over two pipes, both ends. The kernel wakes who sleeps, so nobody has to say that he does.
class PipeTransport final : public Transport {
 public:
  explicit PipeTransport(PipeEnd end);

  absl::string_view name() const override { return "pipe"; }
  size_t max_frame_size() const override { return kMaxFrameSize; }

  std::span<std::byte> Reserve(size_t size, int lane) override;
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override;
  void Commit() override { writer_.Commit(); }
  bool Flush() override { return writer_.Flush(); }
  bool Notify() override;
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
  WaitFds wait_fds() const override { return end_.sleeper == nullptr ? Fds() : WaitFds{}; }
  WaitFds event_fds() const override { return Fds(); }
  bool can_spin() const override { return false; }

 private:
  WaitFds Fds() const { return {.readable = end_.incoming.get(), .writable = end_.outgoing.get()}; }

  const PipeEnd end_;
  Fault fault_{"pipe"};
  FramedWriter writer_;
  FramedReader reader_;
  uint32_t interest_ = 0;  // as last armed; of the sleeping thread
};

}  // namespace nearcall::transport::pipe
