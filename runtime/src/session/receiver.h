// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "base/waiter.h"
#include "session/callers.h"
#include "session/inbox.h"
#include "transport/transport.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Takes what the peer sends, and brings it to the calls that it is for. Used by the reader.
class Receiver {
 public:
  Receiver(transport::Transport& transport, uint32_t peer_id, size_t max_message_size, Callers& callers,
           Letterbox* letterbox = nullptr, const wire::AttachmentTerms& attachments = {})
      : inbox_(std::in_place, transport, peer_id, max_message_size, nullptr, letterbox, attachments),
        callers_(callers) {}
  // Where somebody else has the inbox, and calls Take() for what he finds there.
  explicit Receiver(Callers& callers) : callers_(callers), options_name_("ServerOptions") {}

  // Where calls go that the server begins. Before anything is read.
  using ServedTaker = std::function<absl::Status(Inbox::Event event, wire::Message& message)>;
  void set_take_served(ServedTaker take) { take_served_ = std::move(take); }

  // Takes what has come: until there is no more, `reader` is finished, or it is time to look at a clock. False: nothing
  // had come.
  bool TakeFrames(const base::Waiter& reader);

  // What an inbox has found. INTERNAL: it must not come.
  absl::Status Take(Inbox::Event event, wire::Message& message);

  // How often something had come. Any thread.
  uint64_t times_taken() const { return times_taken_.load(std::memory_order_relaxed); }

  // What the server has done that it must not, for good.
  const absl::Status& violation() const { return violation_; }

 private:
  void TakeServed(Inbox::Event event);
  void TakeMessage(Inbox::Event event, wire::Message& message);
  void Deliver(wire::Message& message);
  void Refuse(Inbox::Event why, const wire::FrameHeader& header);
  ClientCall* TakeAnswered(const wire::FrameHeader& reply);

  std::optional<Inbox> inbox_;
  Callers& callers_;
  ServedTaker take_served_;
  const char* const options_name_ = "ChannelOptions";  // where its limits stand
  wire::Message message_;
  absl::Status violation_;
  std::atomic<uint64_t> times_taken_{0};  // written by the reader alone
};

}  // namespace nearcall::session
