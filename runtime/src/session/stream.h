// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "session/arrivals.h"
#include "session/credit.h"
#include "session/waiting.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// A streaming call at one end of it, the caller's or the callee's: what has come of it, and what may be sent.
//
// Not synchronised: the session's lock guards it.
class Stream {
 public:
  struct Terms {
    bool peer_is_caller;      // then it may half-close, and sends no metadata with its elements
    bool peer_streams;        // false: it sends no elements at all
    uint32_t send_window;     // what the peer has granted
    uint32_t receive_window;  // what it was granted
  };
  // `reading`, `writing`: who waits for elements, and for credit.
  Stream(const Terms& terms, Waiting& reading, Waiting& writing)
      : peer_is_caller_(terms.peer_is_caller),
        peer_is_done_(!terms.peer_streams),
        credit_(terms.send_window),
        window_(terms.receive_window),
        reading_(reading),
        writing_(writing) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // An element (or several), a half-close or credit has come. INTERNAL: the peer must not send it. bad_alloc: it is
  // lost.
  absl::Status Take(wire::Message& message);

  // True: `mine`, which is empty, is exchanged for all that has come.
  bool TakeArrivals(Arrivals& mine);
  bool has_arrivals() const { return !arrivals_.empty(); }
  // Whether the peer sends no further elements.
  bool peer_is_done() const { return peer_is_done_; }

  // The peer's initial metadata, not decoded, once anything has come; empty: it has sent none.
  const std::optional<std::string>& initial_envelope() const { return initial_envelope_; }

  // Before an element is sent. False: there is no credit for it now.
  [[nodiscard]] bool BeginElement(size_t size) { return credit_.Begin(size); }
  bool may_write() const { return credit_.may_begin(); }
  // Credit for so much is about to be sent.
  void OpenWindow(uint32_t bytes) { window_.Open(bytes); }

  // Nothing of it is read or sent any more, because of `why`; the first reason stays.
  void Fail(absl::Status why);
  const absl::Status& failure() const { return failure_; }
  // This end has given the call up: what has come and was not read is not wanted any more.
  void GiveUp() {
    arrivals_.Clear();
    given_up_.store(true, std::memory_order_release);
  }
  // Any thread, without the lock.
  bool given_up() const { return given_up_.load(std::memory_order_acquire); }

  // Both look again.
  void Wake();

  Waiting& reading() { return reading_; }
  Waiting& writing() { return writing_; }

 private:
  absl::Status TakeElements(wire::Message& message);
  absl::Status TakePacked(std::span<const std::byte> bytes);
  absl::Status CheckElement(size_t size);

  const bool peer_is_caller_;
  bool peer_is_done_;
  SendCredit credit_;
  ReceiveWindow window_;
  Arrivals arrivals_;
  std::optional<std::string> initial_envelope_;
  absl::Status failure_;
  std::atomic<bool> given_up_{false};
  Waiting& reading_;
  Waiting& writing_;
};

}  // namespace nearcall::session
