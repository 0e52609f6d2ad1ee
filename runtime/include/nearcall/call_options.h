// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "absl/time/time.h"
#include "nearcall/export.h"
#include "nearcall/metadata.h"
#include "nearcall/priority.h"

namespace nearcall {

class ServerContext;

// What a call does when there is no room: the ring or queue to the server is full, or the channel's bounds of calls in
// flight or queued bytes are reached.
enum class WhenFull : uint8_t {
  kBlock,     // wait until the deadline
  kFailFast,  // RESOURCE_EXHAUSTED at once
};

// What it means that a one-way call (`option (nearcall.one_way) = true`) has returned: how many calls the link to the
// server holds that nobody works on yet.
enum class Capacity : uint8_t {
  kStarted,  // none: its handler has started
  kQueued,  // so many as may be in flight: the server has it, or finds it where it looks next, whatever becomes of this
            // process
  kLocal,   // besides those, ChannelOptions::max_queued_bytes of them in this process: it has not left, perhaps
};

// What the server sent beside the reply.
struct ResponseMetadata {
  Metadata initial = {};
  Metadata trailing = {};
};

// How one call is to be made. Every member may be left out:
//
//   echo.Say(request, {.timeout = absl::Milliseconds(5), .priority = nearcall::Priority::kHigh});
//
// If both `timeout` and `deadline` are set the earlier one counts.
struct CallOptions {
  // For a call that a handler makes to serve its own: what is left of the time, the priority, and the cancellation of
  // `context`'s call count for it too, and it belongs to the same trace: the metadata `traceparent` and `tracestate`
  // go with it as they came (https://www.w3.org/TR/trace-context/). Others are set on the result, or added to its
  // metadata. To be used while the handler runs.
  NEARCALL_EXPORT static CallOptions FromServer(ServerContext& context);

  // Unset: the method's default (`option (nearcall.timeout_ms) = ...`, else none). absl::InfiniteDuration(): none. Zero
  // or less: DEADLINE_EXCEEDED at once, the call is not sent.
  std::optional<absl::Duration> timeout = {};

  // Turned into time left at the moment of the call; the clock that runs afterwards is the steady one.
  std::optional<absl::Time> deadline = {};

  // Unset: the method's default.
  std::optional<Priority> priority = {};

  // Sent with the request. INVALID_ARGUMENT if Metadata::Validate() is not OK.
  Metadata metadata = {};

  // A stop request ends the call with CANCELLED at once and reaches the handler (ServerContext::IsCancelled).
  std::stop_token stop_token = {};

  // true: while no server is there, wait for one until the deadline, instead of UNAVAILABLE at once.
  bool wait_for_ready = false;

  WhenFull when_full = WhenFull::kBlock;

  // Out. The only thing beside the reply that must outlive the call. Filled when the call has ended.
  ResponseMetadata* response_metadata = nullptr;

  // When a one-way call of a Stub returns. What an error means then: kStarted: as for any call. kQueued, kLocal: it was
  // not sent; what goes wrong later is counted and logged, by whoever sees it, and not told to the caller (see
  // Server::DebugString, Channel::DebugString). An AsyncStub does not wait in any case, and its callback hears of the
  // start.
  //
  // In each case the deadline is that of the call: a handler that has not started by then does not start, and one that
  // runs sees it. After the call has returned `stop_token` changes nothing. kLocal does not wait: where there is no
  // room it is RESOURCE_EXHAUSTED.
  Capacity capacity = Capacity::kQueued;
};

}  // namespace nearcall
