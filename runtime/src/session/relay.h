// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "session/reading_end.h"
#include "transport/transport.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Requests, and what follows them, on their way from who reads a client's connection to the poller that serves. To the
// poller it is the reading end of a transport, by which it sleeps: it is rung for them, and when something of the
// outbox has gone.
//
// Whoever pushes bounds what stands here. Thread-safe.
class Relay final : public ReadingEnd {
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

  // transport::Transport; what it does not read is the other transport's.
  absl::string_view name() const override { return transport_.name(); }
  size_t max_frame_size() const override { return transport_.max_frame_size(); }
  ReadState Peek(size_t& size) override;
  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override;
  WaitFds wait_fds() const override { return {.bell = bell_.get()}; }
  absl::Status error() const override { return absl::OkStatus(); }

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
