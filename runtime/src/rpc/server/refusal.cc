// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/refusal.h"

#include <atomic>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "rpc/server/incoming_call.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"

namespace nearcall::rpc {

namespace {

using session::Inbox;

absl::Status TooLarge(const ServerCore& core, size_t size) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the request has ", size, " B, more than ", core.of_channel ? "Channel" : "Server",
                   "Options::max_message_size (", core.options.max_message_size, " B)"));
}

absl::Status OverQuota(const ServerCore& core, const Request& request, size_t size) {
  if (!core.of_channel) return request.session->client().account()->MemoryRefusal(size);
  return absl::ResourceExhaustedError(
      absl::StrCat("the request has ", size, " B, for which the channel that serves has no room left: it may hold ",
                   core.options.max_total_bytes, " B (ChannelOptions::max_message_size, max_queued_bytes)"));
}

}  // namespace

absl::Status WhyRefused(const ServerCore& core, IncomingCall& call, Inbox::Event event) {
  const Request& request = call.request();
  const size_t size = request.message.header.message_size;
  if (event == Inbox::Event::kAborted) return absl::CancelledError("its caller has given the request up");
  if (event == Inbox::Event::kTooLarge) return TooLarge(core, size);
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("the server has no memory for a request of ", size, " B"));
  }
  if (absl::Status brings = request.CheckDescriptors(); !brings.ok()) return brings;
  if (!call.one_way()) {
    if (request.session->end().gone()) return absl::CancelledError("its caller has gone");
    if (core.draining.load(std::memory_order_acquire)) return absl::UnavailableError("the server is shutting down");
  }
  if (event == Inbox::Event::kOverQuota) return OverQuota(core, request, size);
  return call.AdmitStream();
}

}  // namespace nearcall::rpc
