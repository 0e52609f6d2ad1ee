// SPDX-License-Identifier: Apache-2.0
#include "session/arrivals.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace nearcall::session {

// reserve() alone would make room for this element only, and move all of them for the next one.
void Arrivals::MakeRoom(size_t more) {
  const size_t needed = small_.size() + more;
  if (needed > small_.capacity()) small_.reserve(std::max(needed, 2 * small_.capacity()));
}

void Arrivals::PushSize(uint32_t size) {
  const auto bytes = std::as_bytes(std::span(&size, 1));
  small_.insert(small_.end(), bytes.begin(), bytes.end());
}

void Arrivals::Push(std::span<const std::byte> element) {
  // Both or none: the first may throw.
  MakeRoom(sizeof(uint32_t) + element.size());
  PushSize(static_cast<uint32_t>(element.size()));
  small_.insert(small_.end(), element.begin(), element.end());
}

void Arrivals::Push(wire::Message& message) {
  if (message.header.message_size <= kMaxCopied && message.descriptors.empty() && message.attachments.empty()) {
    Push(message.payload());
    message.charge.Release();
    return;
  }
  MakeRoom(sizeof(uint32_t));
  wire::Message& kept = large_.emplace_back();
  kept.header = message.header;
  kept.bytes = std::move(message.bytes);
  kept.charge = std::move(message.charge);
  kept.descriptors = std::move(message.descriptors);
  kept.attachments = std::move(message.attachments);
  PushSize(kInLarge);
}

void Arrivals::Keep(wire::Message& packed) {
  if (packed.header.message_size > kMaxCopied && !empty()) packed_.push_back(std::move(packed.charge));
}

uint32_t Arrivals::SizeOfFront() const {
  uint32_t size;
  std::memcpy(&size, small_.data() + read_, sizeof(size));
  return size;
}

std::span<const std::byte> Arrivals::front() const {
  const uint32_t size = SizeOfFront();
  if (size == kInLarge) return large_[large_read_].payload();
  return std::span(small_).subspan(read_ + sizeof(size), size);
}

size_t Arrivals::front_cost() const {
  return front().size() + (SizeOfFront() == kInLarge ? large_[large_read_].attachments.total() : 0);
}

base::Descriptors Arrivals::TakeDescriptors() {
  return SizeOfFront() == kInLarge ? std::move(large_[large_read_].descriptors) : base::Descriptors();
}

wire::Message* Arrivals::FrontWithAttachments() {
  if (SizeOfFront() != kInLarge || large_[large_read_].attachments.empty()) return nullptr;
  return &large_[large_read_];
}

void Arrivals::Pop() {
  const uint32_t size = SizeOfFront();
  read_ += sizeof(size);
  if (size == kInLarge) {
    large_[large_read_++] = {};
  } else {
    read_ += size;
  }
  if (empty()) Clear();
}

void Arrivals::Clear() {
  small_.clear();
  if (small_.capacity() > kMaxKept) small_ = {};
  large_.clear();
  packed_.clear();
  read_ = large_read_ = 0;
}

}  // namespace nearcall::session
