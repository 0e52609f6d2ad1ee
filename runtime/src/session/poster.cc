// SPDX-License-Identifier: Apache-2.0
#include "session/poster.h"

#include <cstring>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/limits.h"

namespace nearcall::session {

void Poster::Post(const wire::FrameHeader& header, base::Buffer& bytes, Outbox::HandOver when, Flow* flow,
                  std::shared_ptr<const base::Descriptors> descriptors) {
  const size_t size = bytes.size();
  const auto write = [&](std::span<std::byte> to) {
    if (size != 0) std::memcpy(to.data(), bytes.data(), size);
  };
  const bool is_small = GoesInPlace(size, transport_.max_frame_size());
  if (!is_small || header.fd_count != 0 || !outbox_.TrySend(header, size, write, when)) {
    auto message = std::make_unique<Outgoing>(header, size, transport_.max_frame_size());
    if (is_small) {
      // The call keeps it, too: it may have to be made again, over another connection.
      message->kept.Resize(size);
      write(message->kept.bytes());
    } else {
      message->kept = std::move(bytes);
    }
    message->flow = flow;
    message->Enclose(std::move(descriptors));
    if (!TryCharge(*message, size)) {
      const absl::Status failure = absl::ResourceExhaustedError(absl::StrCat(
          "an element of ", size,
          " B waits for room, for which the client's user has none left (ServerOptions::", "max_total_bytes)"));
      callers_.FailStream(header, base::WithExecState(failure, ExecState::kMaybeExecuted)).IgnoreError();
      return;
    }
    outbox_.Keep(std::move(message));
  }
  WakeReaderForRest();
}

// A call has one request, which is paid for in any case, but any number of elements.
bool Poster::TryCharge(Outgoing& message, size_t size) const {
  if (outbox_.TryCharge(message, size)) return true;
  if (message.fragmenter.kind() == wire::FrameKind::kMessage) return false;
  message.charge.TakeAnyway(memory_, base::Amount::Of(0, size + base::kKeptMessageCost));
  return true;
}

void Poster::Publish() {
  readers_.Pump();
  WakeReaderForRest();
}

void Poster::WakeReaderForRest() {
  if (outbox_.has_waiting()) callers_.InterruptReader();
}

}  // namespace nearcall::session
