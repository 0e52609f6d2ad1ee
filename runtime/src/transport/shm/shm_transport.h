// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/shared_memory.h"
#include "transport/fault.h"
#include "transport/shm/bell.h"
#include "transport/shm/layout.h"
#include "transport/shm/ring_reader.h"
#include "transport/shm/ring_writer.h"
#include "transport/shm/vain_wakes.h"
#include "transport/transport.h"

namespace nearcall::transport::shm {

// What one end of a connection works with. The spans lie in `memory`; a mapping may be shared by two ends of one
// process.
struct ShmEnd {
  std::span<std::byte> own_region;         // control page and ring, written by this end
  std::span<const std::byte> peer_region;  // the same, written by the peer
  std::unique_ptr<Bell> own_bell;          // rung by the peer
  std::unique_ptr<Bell> peer_bell;         // rung by this end
  std::vector<std::shared_ptr<const base::Mapping>> memory;
};

// The transport in shared memory, both ends: they differ in their bells only. runtime/PROTOCOL.md says what the
// memory holds. No system call except to wake, to be woken, and to sleep.
class ShmTransport final : public Transport {
 public:
  explicit ShmTransport(ShmEnd end);

  absl::string_view name() const override { return "shm"; }
  size_t max_frame_size() const override { return MaxFrameSize(ring_size_); }

  std::span<std::byte> Reserve(size_t size, int lane) override;
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override;
  void Commit() override { writer_.Commit(); }
  bool Notify() override;
  bool Ring() override {
    end_.peer_bell->Ring();
    return true;
  }
  bool PeerHasReadAll() const override { return writer_.PeerHasReadAll(); }

  ReadState Peek(size_t& size) override { return reader_.Peek(size); }
  void CopyOut(size_t offset, std::span<std::byte> to) override { reader_.CopyOut(offset, to); }
  void Pop() override { reader_.Pop(); }
  void Release() override;
  absl::Status error() const override { return fault_.error(); }

  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override;
  void Wait(base::SteadyNs until) override;
  void Interrupt() override;
  WaitFds wait_fds() const override { return end_.own_bell->can_wait() ? WaitFds{} : event_fds(); }
  WaitFds event_fds() const override { return {.bell = end_.own_bell->fd()}; }
  void ClearBell() override { end_.own_bell->Clear(); }
  bool can_spin() const override { return true; }
  int peer_cpu() const override;

 private:
  bool IsReady(uint32_t interest, size_t room);
  void Nap(base::SteadyNs until);

  const ShmEnd end_;
  const size_t ring_size_;
  ControlPage& own_;
  const ControlPage& peer_;
  Fault fault_{"shm"};
  RingWriter writer_;
  RingReader reader_;

  uint64_t rung_for_frames_ = 0;  // the peer's InterestWord for which Notify() has rung; writing thread
  uint64_t rung_for_room_ = 0;    // the same for Release(); reading thread

  // Of the sleeping thread.
  uint64_t sleeps_ = 0;
  VainWakes vain_wakes_;

  std::atomic<bool> interrupted_{false};
};

}  // namespace nearcall::transport::shm
