// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/waiter.h"
#include "session/callers.h"
#include "session/inbox.h"
#include "transport/transport.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Takes what the server sends, and brings it to the calls that it is for. Used by the reader.
class Receiver {
 public:
  Receiver(transport::Transport& transport, uint32_t peer_id, size_t max_message_size, Callers& callers)
      : inbox_(transport, peer_id, max_message_size), callers_(callers) {}

  // Takes what has come: until there is no more, `reader` is finished, or it is time to look at a clock. False: nothing
  // had come.
  bool TakeFrames(const base::Waiter& reader);

  // How often something had come. Any thread.
  uint64_t times_taken() const { return times_taken_.load(std::memory_order_relaxed); }

  // What the server has done that it must not, for good.
  const absl::Status& violation() const { return violation_; }

 private:
  void TakeMessage(Inbox::Event event);
  void Deliver();
  void Refuse(Inbox::Event why);
  ClientCall* TakeAnswered();

  Inbox inbox_;
  Callers& callers_;
  wire::Message message_;
  absl::Status violation_;
  std::atomic<uint64_t> times_taken_{0};  // written by the reader alone
};

}  // namespace nearcall::session
