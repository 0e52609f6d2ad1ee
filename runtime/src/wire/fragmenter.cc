// SPDX-License-Identifier: Apache-2.0
#include "wire/fragmenter.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace nearcall::wire {

namespace {

uint8_t WithPlace(uint8_t flags, int place) {
  return static_cast<uint8_t>((flags & ~(kFirst | kLast | kAborted)) | place);
}

}  // namespace

Fragmenter::Fragmenter(const FrameHeader& message, size_t message_size, size_t max_frame_size)
    : header_(message), max_payload_size_(max_frame_size - kHeaderSize) {
  NEARCALL_CHECK(max_frame_size > kHeaderSize);
  NEARCALL_CHECK(message_size <= std::numeric_limits<uint32_t>::max());
  if (message.kind != FrameKind::kCredit) header_.message_size = static_cast<uint32_t>(message_size);
}

size_t Fragmenter::NextPayloadSize() const {
  return header_.kind == FrameKind::kCredit ? 0 : std::min(max_payload_size_, header_.message_size - offset_);
}

FrameHeader Fragmenter::Next(size_t& offset) {
  NEARCALL_CHECK(!done_);
  FrameHeader frame = header_;
  frame.payload_size = static_cast<uint32_t>(NextPayloadSize());
  offset = offset_;
  offset_ += frame.payload_size;
  done_ = offset_ == header_.message_size || header_.kind == FrameKind::kCredit;
  frame.flags = WithPlace(header_.flags, (offset == 0 ? kFirst : 0) | (done_ ? kLast : 0));
  return frame;
}

FrameHeader Fragmenter::Abort() {
  NEARCALL_CHECK(started() && !done_);
  done_ = true;
  FrameHeader frame = header_;
  frame.payload_size = 0;
  frame.flags = WithPlace(header_.flags, kLast | kAborted);
  return frame;
}

}  // namespace nearcall::wire
