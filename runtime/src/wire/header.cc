// SPDX-License-Identifier: Apache-2.0
#include "wire/header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/limits.h"

namespace nearcall::wire {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian: swap the fields here");
static_assert(std::is_trivially_copyable_v<FrameHeader>);
static_assert(offsetof(FrameHeader, version) == 0);
static_assert(offsetof(FrameHeader, kind) == 1);
static_assert(offsetof(FrameHeader, flags) == 2);
static_assert(offsetof(FrameHeader, priority) == 3);
static_assert(offsetof(FrameHeader, payload_size) == 4);
static_assert(offsetof(FrameHeader, sequence) == 8);
static_assert(offsetof(FrameHeader, call_id) == 16);
static_assert(offsetof(FrameHeader, method_id) == 24);
static_assert(offsetof(FrameHeader, source_id) == 32);
static_assert(offsetof(FrameHeader, status) == 36);
static_assert(offsetof(FrameHeader, fd_count) == 37);
static_assert(offsetof(FrameHeader, attachment_count) == 38);
static_assert(offsetof(FrameHeader, reserved) == 39);
static_assert(offsetof(FrameHeader, time_left_ns) == 40);
static_assert(offsetof(FrameHeader, message_size) == 48);
static_assert(offsetof(FrameHeader, envelope_size) == 52);

namespace {

constexpr uint8_t kMaxStatusCode = static_cast<uint8_t>(absl::StatusCode::kUnauthenticated);
constexpr uint64_t kMaxTimeLeftNs = std::numeric_limits<int64_t>::max();
constexpr uint8_t kWholeMessage = kFirst | kLast;

// Out of line: texts are built only for a peer that breaks the rules.
[[gnu::cold, gnu::noinline]] absl::Status Unexpected(absl::string_view field, uint64_t received,
                                                     absl::string_view expected) {
  return absl::InternalError(
      absl::StrCat("the peer sent a frame with ", field, " ", received, ", expected ", expected));
}

[[gnu::cold, gnu::noinline]] absl::Status Unexpected(absl::string_view field, uint64_t received, uint64_t expected,
                                                     absl::string_view why = "") {
  return Unexpected(field, received, absl::StrCat(expected, why));
}

absl::Status CheckFields(const FrameHeader& header) {
  const auto kind = static_cast<uint8_t>(header.kind);
  if (header.version != kWireVersion) return Unexpected("version", header.version, kWireVersion);
  if (kind == 0 || kind > kMaxFrameKind) return Unexpected("kind", kind, "1 to 5");
  if (header.fd_count > base::kMaxMessageDescriptors) {
    return Unexpected("fd_count", header.fd_count, absl::StrCat("0 to ", base::kMaxMessageDescriptors));
  }
  if (header.priority >= base::kLanes) return Unexpected("priority", header.priority, "0 to 3");
  if (header.attachment_count > base::kMaxMessageAttachments) {
    return Unexpected("attachment_count", header.attachment_count, absl::StrCat("0 to ", base::kMaxMessageAttachments));
  }
  if (header.reserved != 0) return Unexpected("a reserved byte", header.reserved, 0u);
  if ((header.call_id & ~kBegunByAcceptor) == 0) return Unexpected("call_id", header.call_id, "a call's number");
  return absl::OkStatus();
}

absl::Status CheckRequestFields(const FrameHeader& header) {
  if (header.kind == FrameKind::kRequest) {
    if (header.time_left_ns > kMaxTimeLeftNs) return Unexpected("time_left_ns", header.time_left_ns, "less than 2^63");
    if (header.has(kOneWay) && (header.has(kElements) || !header.has(kEnd))) {
      return Unexpected("flags", header.flags, "bit 6 and not bit 4 (it is one-way)");
    }
    return absl::OkStatus();
  }
  if (header.time_left_ns != 0) return Unexpected("time_left_ns", header.time_left_ns, 0, " (it is no request)");
  if (header.has(kOneWay)) return Unexpected("flags", header.flags, "not bit 3 (it is no request)");
  if (header.has(kElements)) return Unexpected("flags", header.flags, "not bit 4 (it is no request)");
  return absl::OkStatus();
}

// What only messages of a stream have, and what opens it.
absl::Status CheckStreamFlags(const FrameHeader& header) {
  if (header.has(kPacked) && header.fd_count != 0) {
    return Unexpected("fd_count", header.fd_count, 0, " (it holds several elements)");
  }
  if (header.has(kPacked) && header.attachment_count != 0) {
    return Unexpected("attachment_count", header.attachment_count, 0, " (it holds several elements)");
  }
  const bool is_element = header.kind == FrameKind::kMessage;
  if (header.has(kEnd) && !is_element && header.kind != FrameKind::kRequest) {
    return Unexpected("flags", header.flags, "not bit 6 (it is neither request nor element)");
  }
  if (header.has(kPacked) && !(is_element && (header.flags & kWholeMessage) == kWholeMessage)) {
    return Unexpected("flags", header.flags, "not bit 7 (it is no element of one frame)");
  }
  return absl::OkStatus();
}

absl::Status CheckStatus(const FrameHeader& header) {
  if (header.status > kMaxStatusCode) return Unexpected("status", header.status, "0 to 16");
  if (header.status != 0 && header.kind != FrameKind::kReply) {
    return Unexpected("status", header.status, 0, " (it is no reply)");
  }
  return absl::OkStatus();
}

// Half-close and credit: a header and nothing else.
absl::Status CheckBareFrame(const FrameHeader& header) {
  if (header.flags != kWholeMessage) return Unexpected("flags", header.flags, kWholeMessage, " (of this kind)");
  if (header.payload_size != 0) return Unexpected("payload_size", header.payload_size, 0, " (of this kind)");
  if (header.fd_count != 0) return Unexpected("fd_count", header.fd_count, 0, " (of this kind)");
  if (header.attachment_count != 0) {
    return Unexpected("attachment_count", header.attachment_count, 0, " (of this kind)");
  }
  if (header.envelope_size != 0) return Unexpected("envelope_size", header.envelope_size, 0, " (of this kind)");
  const bool is_credit = header.kind == FrameKind::kCredit;
  if (is_credit && header.message_size == 0) return Unexpected("message_size", 0, "the bytes of credit");
  if (!is_credit && header.message_size != 0) {
    return Unexpected("message_size", header.message_size, 0, " (of this kind)");
  }
  return absl::OkStatus();
}

absl::Status CheckEnvelope(const FrameHeader& header) {
  if (header.has(kEnvelope) != (header.envelope_size != 0)) {
    return Unexpected("envelope_size", header.envelope_size, header.has(kEnvelope) ? "more than 0" : "0");
  }
  if (header.envelope_size > base::kMaxEnvelopeSize) {
    return Unexpected("envelope_size", header.envelope_size, absl::StrCat("at most ", base::kMaxEnvelopeSize));
  }
  if (header.envelope_size > header.message_size) {
    return Unexpected("envelope_size", header.envelope_size,
                      absl::StrCat("at most the message's ", header.message_size));
  }
  return absl::OkStatus();
}

absl::Status CheckFragment(const FrameHeader& header) {
  const uint8_t place = header.flags & (kFirst | kLast | kAborted);
  if (place == kWholeMessage) {
    if (header.payload_size == header.message_size) return absl::OkStatus();
    return Unexpected("payload_size", header.payload_size, header.message_size, " (the whole message)");
  }
  if (header.has(kAborted)) {
    if (place != (kLast | kAborted)) return Unexpected("flags", header.flags, "last, not first, when aborted");
    if (header.payload_size != 0) return Unexpected("payload_size", header.payload_size, 0, " (aborted)");
    return absl::OkStatus();
  }
  if (header.payload_size == 0 || header.payload_size >= header.message_size) {
    return Unexpected("payload_size", header.payload_size,
                      absl::StrCat("a part of the message's ", header.message_size));
  }
  return absl::OkStatus();
}

}  // namespace

void EncodeHeader(const FrameHeader& header, std::span<std::byte> to) {
  NEARCALL_CHECK(to.size() >= kHeaderSize);
  std::memcpy(to.data(), &header, kHeaderSize);
}

absl::Status DecodeHeader(std::span<const std::byte> frame, size_t frame_size, FrameHeader& header) {
  if (frame.size() < kHeaderSize || frame_size < kHeaderSize) {
    return Unexpected("size", std::min(frame.size(), frame_size), absl::StrCat("at least ", kHeaderSize));
  }
  std::memcpy(&header, frame.data(), kHeaderSize);
  if (absl::Status status = CheckFields(header); !status.ok()) return status;
  if (header.payload_size != frame_size - kHeaderSize) {
    return Unexpected("payload_size", header.payload_size, frame_size - kHeaderSize, " (the frame's size says)");
  }
  if (absl::Status status = CheckRequestFields(header); !status.ok()) return status;
  if (absl::Status status = CheckStatus(header); !status.ok()) return status;
  if (header.kind >= FrameKind::kHalfClose) return CheckBareFrame(header);
  if (absl::Status status = CheckStreamFlags(header); !status.ok()) return status;
  if (absl::Status status = CheckEnvelope(header); !status.ok()) return status;
  return CheckFragment(header);
}

}  // namespace nearcall::wire
