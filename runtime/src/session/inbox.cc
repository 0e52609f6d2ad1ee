// SPDX-License-Identifier: Apache-2.0
#include "session/inbox.h"

#include <array>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/thread_sanitizer.h"

namespace nearcall::session {

Inbox::Event Inbox::Next(wire::Message& message) {
  using ReadState = transport::Transport::ReadState;
  if (!error_.ok()) return Event::kBroken;
  size_t size = 0;
  const ReadState state = transport_.Peek(size);
  if (state == ReadState::kEmpty) return Event::kEmpty;
  if (state == ReadState::kBroken) return Break(transport_.error());
  if (size < wire::kHeaderSize) {
    return Break(absl::InternalError(absl::StrCat("a frame of ", size, " B, less than its header")));
  }
  std::array<std::byte, wire::kHeaderSize> raw;
  transport_.CopyOut(0, raw);
  wire::FrameHeader header;
  if (absl::Status status = wire::DecodeHeader(raw, size, header); !status.ok()) return Break(std::move(status));
  if (absl::Status status = CheckFrame(header); !status.ok()) return Break(std::move(status));
  message.descriptors.Clear();
  message.attachments.Clear();

  const auto copy = [this](std::span<std::byte> to) { transport_.CopyOut(wire::kHeaderSize, to); };
  const absl::StatusOr<wire::Reassembler::Result> result = reassembler_.Receive(header, message, copy);
  if (!result.ok()) return Break(result.status());
  if (header.fd_count != 0) letterbox_->Deliver(header, *result, message);
  transport_.Pop();
  base::Acquired(peer_id_);
  ++frames_received_;
  switch (*result) {
    case wire::Reassembler::Result::kMessage:
      if (header.attachment_count == 0) return Event::kMessage;
      if (absl::Status found = wire::FindAttachments(message, attachments_); !found.ok())
        return Break(std::move(found));
      return Event::kMessage;
    case wire::Reassembler::Result::kTooLarge:
      return Event::kTooLarge;
    case wire::Reassembler::Result::kNoMemory:
      return Event::kNoMemory;
    case wire::Reassembler::Result::kOverQuota:
      return Event::kOverQuota;
    case wire::Reassembler::Result::kAborted:
      return Event::kAborted;
    case wire::Reassembler::Result::kNothing:
      break;
  }
  return Event::kProgress;
}

// And opens the letter that goes with it.
absl::Status Inbox::CheckFrame(const wire::FrameHeader& header) {
  if (header.source_id != peer_id_) {
    return absl::InternalError(
        absl::StrCat("a frame from source ", header.source_id, " where only ", peer_id_, " may send"));
  }
  if (absl::Status status = sequence_.Check(header); !status.ok()) return status;
  if (letterbox_ != nullptr) return letterbox_->Open(header);
  if (header.fd_count == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("a frame with ", header.fd_count, " descriptors, which this connection does not carry"));
}

Inbox::Event Inbox::Break(absl::Status error) {
  error_ = std::move(error);
  return Event::kBroken;
}

}  // namespace nearcall::session
