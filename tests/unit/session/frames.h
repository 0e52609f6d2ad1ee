// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "session/outbox.h"
#include "transport/transport.h"
#include "wire/header.h"

// The small language in which the tests of the session floor speak of frames and messages.
namespace nearcall::session::testing {

// A frame as a test reads it from a transport.
struct Frame {
  wire::FrameHeader header;
  std::string payload;
};

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline std::string AsText(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Takes one frame and gives its room back. Nothing if there is none.
inline std::optional<Frame> TakeFrame(transport::Transport& transport) {
  size_t size;
  if (transport.Peek(size) != transport::Transport::ReadState::kFrame) return std::nullopt;
  std::vector<std::byte> bytes(size);
  transport.CopyOut(0, bytes);
  transport.Pop();
  transport.Release();
  Frame frame;
  if (!wire::DecodeHeader(bytes, size, frame.header).ok()) return std::nullopt;
  frame.payload = AsText(std::span(bytes).subspan(wire::kHeaderSize));
  return frame;
}

// "7[ab]" is a whole message of call 7, "7[ab" its first frame, "7 cd" a middle one, "7 e]" the last, "7!" its abort.
inline std::string Describe(const Frame& frame) {
  if (frame.header.has(wire::kAborted)) return absl::StrCat(frame.header.call_id, "!");
  return absl::StrCat(frame.header.call_id, frame.header.has(wire::kFirst) ? "[" : " ", frame.payload,
                      frame.header.has(wire::kLast) ? "]" : "");
}

inline std::vector<std::string> DescribeAll(transport::Transport& transport) {
  std::vector<std::string> all;
  while (const auto frame = TakeFrame(transport)) all.push_back(Describe(*frame));
  return all;
}

// Of a request or reply of `call_id`.
inline wire::FrameHeader Header(wire::FrameKind kind, uint64_t call_id, size_t lane) {
  wire::FrameHeader header;
  header.kind = kind;
  header.call_id = call_id;
  header.priority = static_cast<uint8_t>(lane);
  header.method_id = 1000;
  return header;
}

// A message that owns its bytes.
inline std::unique_ptr<Outgoing> Kept(const wire::FrameHeader& header, const std::string& text, size_t max_frame_size) {
  auto message = std::make_unique<Outgoing>(header, text.size(), max_frame_size);
  message->kept.Resize(text.size());
  if (!text.empty()) std::memcpy(message->kept.data(), text.data(), text.size());
  return message;
}

// Sends what fits now. True if nothing is left.
inline bool PumpAll(Outbox& outbox) {
  outbox.Pump();
  return !outbox.has_waiting();
}

// Writes a frame past any outbox: for what a peer must not send.
inline bool SendRaw(transport::Transport& transport, const wire::FrameHeader& header, const std::string& payload) {
  const std::span<std::byte> frame = transport.Reserve(wire::kHeaderSize + payload.size(), header.priority);
  if (frame.empty()) return false;
  wire::EncodeHeader(header, frame);
  transport.Fill(frame.subspan(wire::kHeaderSize), AsBytes(payload));
  transport.Commit();
  transport.Notify();
  return true;
}

}  // namespace nearcall::session::testing
