// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "transport/transport.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Requests, and what follows them, on their way from who reads a client's connection to the poller that serves. To the
// poller it is the reading end of a transport, by which it sleeps: it is rung for them, and when something of the
// outbox has gone.
//
// Whoever pushes bounds what stands here. Thread-safe.
class Relay final : public transport::Transport {
 public:
  // `outbox`: of the connection over `transport`. `want_room`: has what waits there sent when there is room; called
  // without a lock.
  Relay(const transport::Transport& transport, const Outbox& outbox, std::function<void()> want_room)
      : transport_(transport), outbox_(outbox), want_room_(std::move(want_room)) {}

  absl::Status Open();

  // By who reads: what an inbox has found.
  void Push(Inbox::Event event, wire::Message& message);
  void TellRoom();
  size_t requests() const;
  size_t size() const;

  // By the poller.
  Inbox::Event Take(wire::Message& message);

  // transport::Transport
  absl::string_view name() const override { return transport_.name(); }
  size_t max_frame_size() const override { return transport_.max_frame_size(); }
  ReadState Peek(size_t& size) override;
  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override;
  WaitFds wait_fds() const override { return {.bell = bell_.get()}; }
  bool can_spin() const override { return false; }
  absl::Status error() const override { return absl::OkStatus(); }
  // The rest is the other transport's.
  std::span<std::byte> Reserve(size_t /*size*/, int /*lane*/) override { return {}; }
  void Fill(std::span<std::byte> /*to*/, std::span<const std::byte> /*from*/) override {}
  void Commit() override {}
  bool Notify() override { return false; }
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return true; }
  void CopyOut(size_t /*offset*/, std::span<std::byte> /*to*/) override {}
  void Pop() override {}
  void Release() override {}
  void Wait(base::SteadyNs /*until*/) override {}
  void Interrupt() override {}

 private:
  struct Item {
    Inbox::Event event;
    wire::Message message;
  };

  void RingFor(uint32_t interest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const transport::Transport& transport_;
  const Outbox& outbox_;
  const std::function<void()> want_room_;
  base::Fd bell_;

  mutable base::Mutex mutex_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mutex_);
  size_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t interest_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::session
