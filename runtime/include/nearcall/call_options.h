// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/time/time.h"
#include "nearcall/buffer.h"
#include "nearcall/export.h"
#include "nearcall/metadata.h"
#include "nearcall/priority.h"
#include "nearcall/unique_fd.h"

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

  // Out. Must outlive the call, as the reply and `reply_descriptors` must, and nothing else. Filled when the call has
  // ended.
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

  // Descriptors that go with the request (of a stream: with what opens it), at most 16: the server gets others of the
  // same files, as by SCM_RIGHTS (unix(7)). They stay the caller's, who may close them when the call that was given
  // them returns: of a Stub the reply, of an AsyncStub, CoStub or stream what starts it.
  //
  //   const int file = open("film.mkv", O_RDONLY | O_CLOEXEC);
  //   auto frame = decoder.Decode(request, {.descriptors = {&file, 1}});
  //
  // The method declares them in the .proto (`option (nearcall.descriptors) = 4`), and the server takes as many
  // (ServerOptions::max_descriptors_per_message). Before anything is sent: INVALID_ARGUMENT: the method declares none,
  // there are too many, or one is not open. FAILED_PRECONDITION: this server takes none, or the transport carries none:
  // shm, mq and pipe do, the others do not. RESOURCE_EXHAUSTED: this process cannot have as many, or has too many under
  // way (RLIMIT_NOFILE); the server has no room for them.
  std::span<const int> descriptors = {};

  // Out. Takes those that come with the reply, in order; what it had is closed. Filled when the call has ended with OK,
  // on the thread that gets the reply, and must outlive the call as response_metadata must (a CoStub's until the reply
  // is awaited). Null: they are closed. A method that sends some declares it as above; the client need grant nothing.
  std::vector<UniqueFd>* reply_descriptors = nullptr;

  // Memory that goes with the request (of a stream: with what opens it) and is not copied where that can be: see
  // nearcall/buffer.h. At most 16. They are sealed by the call, whatever becomes of it, and may be sent again.
  //
  //   store.Put(request, {.attachments = {pixels}});
  //
  // Before anything is sent: INVALID_ARGUMENT: too many. FAILED_PRECONDITION: one cannot be sealed, or the server is of
  // a version without attachments. RESOURCE_EXHAUSTED: what is to be copied makes the request larger than one side
  // takes (max_message_size), or this process has no descriptor left to pass one with.
  std::vector<Buffer> attachments = {};

  // Out. Those that come with the reply, in order, in place of what it had; as reply_descriptors else. Null: they are
  // not looked at. One that is not what it should be (see Buffer) ends the call with INTERNAL.
  std::vector<Buffer>* reply_attachments = nullptr;
};

}  // namespace nearcall
