// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "transport/transport.h"

namespace nearcall::session::testing {

// Passes everything on to another transport, counts what a test wants to know, and can be as slow as a kernel's queue:
// a frame that was committed stays here until Flush() finds the gate open.
class SpyTransport final : public transport::Transport {
 public:
  explicit SpyTransport(std::unique_ptr<Transport> inner) : inner_(std::move(inner)) {}

  std::atomic<int> rings{0};
  std::atomic<bool> can_ring{true};
  std::atomic<bool> gate_closed{false};
  bool is_keeping() const { return kept_; }
  // Wait() ends when it is woken, and not at its time.
  std::atomic<bool> sleeps_until_woken{false};
  std::atomic<int> waits{0};
  std::atomic<int> interrupts{0};
  std::atomic<bool> armed{false};
  // Set before the other threads start.
  std::function<void()> before_peek;
  std::function<void()> before_commit;

  absl::string_view name() const override { return inner_->name(); }
  size_t max_frame_size() const override { return inner_->max_frame_size(); }
  std::span<std::byte> Reserve(size_t size, int lane) override {
    if (!Flush()) return {};
    return inner_->Reserve(size, lane);
  }
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override { inner_->Fill(to, from); }
  void Commit() override {
    if (before_commit) before_commit();
    if (gate_closed) {
      kept_ = true;
    } else {
      inner_->Commit();
    }
  }
  bool Flush() override {
    if (kept_ && gate_closed) return false;
    if (kept_.exchange(false)) inner_->Commit();
    return true;
  }
  bool Notify() override { return inner_->Notify(); }
  bool Ring() override {
    ++rings;
    return can_ring && inner_->Ring();
  }
  bool PeerHasReadAll() const override { return inner_->PeerHasReadAll(); }
  ReadState Peek(size_t& size) override {
    if (before_peek) before_peek();
    return inner_->Peek(size);
  }
  void CopyOut(size_t offset, std::span<std::byte> to) override { inner_->CopyOut(offset, to); }
  void Pop() override { inner_->Pop(); }
  void Release() override { inner_->Release(); }
  absl::Status error() const override { return inner_->error(); }
  bool Arm(uint32_t interest, size_t room) override {
    const bool there_is_something = inner_->Arm(interest, room);
    armed = !there_is_something;
    return there_is_something;
  }
  void Disarm() override {
    armed = false;
    inner_->Disarm();
  }
  void Wait(base::SteadyNs until) override {
    ++waits;
    inner_->Wait(sleeps_until_woken ? base::kNever : until);
  }
  void Interrupt() override {
    ++interrupts;
    inner_->Interrupt();
  }
  WaitFds wait_fds() const override { return inner_->wait_fds(); }
  void ClearBell() override { inner_->ClearBell(); }
  bool can_spin() const override { return inner_->can_spin(); }
  int peer_cpu() const override { return inner_->peer_cpu(); }

 private:
  const std::unique_ptr<Transport> inner_;
  std::atomic<bool> kept_ = false;
};

}  // namespace nearcall::session::testing
