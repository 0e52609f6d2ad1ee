// SPDX-License-Identifier: Apache-2.0
#include "session/letterbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace nearcall::session {

namespace {

[[gnu::cold, gnu::noinline]] absl::Status Violation(const wire::FrameHeader& header, absl::string_view what) {
  return absl::InternalError(absl::StrCat("descriptors of the frame ", header.sequence, " in lane ", header.priority,
                                          ", call ", header.call_id, ": ", what));
}

bool IsOf(const transport::Letter& letter, const wire::FrameHeader& header) {
  return letter.lane == header.priority && letter.sequence == header.sequence;
}

}  // namespace

absl::Status Letterbox::OpenLetter(const wire::FrameHeader& header) {
  const size_t granted = header.attachment_count == 0 ? max_descriptors_ : max_with_attachments_;
  if (header.fd_count > granted) {
    return Violation(header, absl::StrCat("it announces ", header.fd_count, ", granted were ", granted));
  }
  Kept found;
  while (!TakeKept(header, found)) {
    if (kept_ == letters_.size()) {
      return Violation(header, absl::StrCat("there are ", kept_, " letters, and none of them is for it"));
    }
    Kept& next = letters_[kept_];
    if (absl::Status received = socket_.Receive(budget_, next.letter, next.descriptors); !received.ok()) {
      return absl::Status(received.code(), Violation(header, received.message()).message());
    }
    ++kept_;
  }
  const transport::Letter& letter = found.letter;
  if (letter.count != header.fd_count || letter.call_id != header.call_id) {
    return Violation(header, absl::StrCat("it announces ", header.fd_count, ", its letter ", letter.count, " of call ",
                                          letter.call_id));
  }
  opened_ = std::move(found.descriptors);
  return kept_ == 0 ? absl::OkStatus() : CheckKept(header);
}

bool Letterbox::TakeKept(const wire::FrameHeader& header, Kept& found) {
  const auto end = letters_.begin() + static_cast<std::ptrdiff_t>(kept_);
  const auto place = std::find_if(letters_.begin(), end, [&](const Kept& kept) { return IsOf(kept.letter, header); });
  if (place == end) return false;
  found = std::move(*place);
  std::move(place + 1, end, place);
  --kept_;
  return true;
}

// A letter whose frame has gone by.
absl::Status Letterbox::CheckKept(const wire::FrameHeader& header) const {
  for (size_t i = 0; i < kept_; ++i) {
    const transport::Letter& letter = letters_[i].letter;
    if (letter.lane != header.priority || letter.sequence > header.sequence) continue;
    return Violation(header, absl::StrCat("a letter of the earlier frame ", letter.sequence,
                                          " was not announced by it, or came twice"));
  }
  return absl::OkStatus();
}

void Letterbox::Deliver(const wire::FrameHeader& header, wire::Reassembler::Result result, wire::Message& message) {
  using Result = wire::Reassembler::Result;
  const bool is_whole = header.has(wire::kFirst) && header.has(wire::kLast);
  base::Descriptors& descriptors = is_whole ? opened_ : partial_[header.priority];
  if (!is_whole && header.has(wire::kFirst)) descriptors = std::move(opened_);
  if (result == Result::kMessage) {
    message.descriptors = std::move(descriptors);
  } else if (result != Result::kNothing) {
    descriptors.Clear();
  }
}

}  // namespace nearcall::session
