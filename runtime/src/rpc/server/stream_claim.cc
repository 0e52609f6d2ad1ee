// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/stream_claim.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

StreamClaim::~StreamClaim() {
  if (counted_) core_.open_streams.fetch_sub(1, std::memory_order_relaxed);
}

absl::Status StreamClaim::TakeOne() {
  const size_t others = core_.open_streams.fetch_add(1, std::memory_order_relaxed);
  counted_ = true;
  if (others < core_.options.max_waiting_handlers) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(others,
                                                   " streams are open, as many as the server's "
                                                   "ServerOptions::max_waiting_handlers allows; retry later"));
}

absl::Status StreamClaim::Take(const Request& request) {
  if (request.needs_thread()) {
    if (absl::Status one = TakeOne(); !one.ok()) return one;
  }
  const size_t window = core_.options.stream_window_bytes;
  const size_t streams = request.session->calls().streams();
  if (streams * window > core_.options.max_stream_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this connection has ", streams - 1, " streams of ", window,
                     " B each, as many as the server's ServerOptions::max_stream_bytes (",
                     core_.options.max_stream_bytes, " B) allows; retry later"));
  }
  base::Account* const account = request.session->client().account();
  if (window_.TryTake(account == nullptr ? nullptr : &account->memory, base::Amount::Of(0, window))) {
    return absl::OkStatus();
  }
  return account->MemoryRefusal(window);
}

}  // namespace nearcall::rpc
