// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/ring_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "transport/shm/shared_bytes.h"

namespace nearcall::transport::shm {

bool RingReader::RefreshTail(std::memory_order order) {
  const uint64_t tail = Load(peer_.tail, order);
  // All that was seen before has been read, so that what is behind it is far ahead in unsigned numbers.
  if (tail - head_ > ring_.size() || tail % kRecordAlign != 0) {
    fault_.Report(
        absl::StrCat("its tail is ", tail, ", expected a multiple of 64 from ", head_, " to ", head_ + ring_.size()));
    return false;
  }
  tail_ = tail;
  return true;
}

Transport::ReadState RingReader::Peek(size_t& size) {
  while (size_ == 0) {
    if (fault_.found()) return Transport::ReadState::kBroken;
    if (head_ == tail_) {
      // Acquire: pairs with the release in RingWriter::Commit.
      if (!RefreshTail(std::memory_order_acquire)) return Transport::ReadState::kBroken;
      if (head_ == tail_) return Transport::ReadState::kEmpty;
    }
    if (!TakeRecord()) return Transport::ReadState::kBroken;
  }
  size = size_;
  return Transport::ReadState::kFrame;
}

bool RingReader::IsFrame(RecordPrefix prefix, size_t to_end) const {
  return prefix.Is(RecordKind::kFrame) && prefix.size > 0 && prefix.size <= MaxFrameSize(ring_.size()) &&
         RecordSize(prefix.size) <= std::min<uint64_t>(to_end, tail_ - head_);
}

bool RingReader::IsPadding(RecordPrefix prefix, size_t to_end) const {
  // Smaller than a record: so it never begins the ring, and two never follow each other.
  return prefix.Is(RecordKind::kPadding) && prefix.size == to_end - kPrefixSize && to_end < ring_.size() / 4 &&
         to_end <= tail_ - head_;
}

bool RingReader::TakeRecord() {
  const size_t offset = OffsetOf(head_);
  const size_t to_end = ring_.size() - offset;
  // Relaxed: ordered by the acquire of the tail.
  const auto& word = *reinterpret_cast<const std::atomic<uint64_t>*>(ring_.data() + offset);
  const RecordPrefix prefix = RecordPrefix::FromWord(Load(word, std::memory_order_relaxed));
  if (IsFrame(prefix, to_end)) {
    size_ = prefix.size;
    return true;
  }
  if (IsPadding(prefix, to_end)) {
    head_ += to_end;
    return true;
  }
  fault_.Report(absl::StrCat("a record of kind ", prefix.kind, " and size ", prefix.size, " at offset ", offset,
                             " of a ring of ", ring_.size(), " with ", tail_ - head_, " B written"));
  return false;
}

void RingReader::CopyOut(size_t offset, std::span<std::byte> to) const {
  NEARCALL_CHECK(offset <= size_ && to.size() <= size_ - offset);
  CopyOutOfShared(to, ring_.data() + OffsetOf(head_) + kPrefixSize + offset);
}

void RingReader::Pop() {
  NEARCALL_CHECK(size_ != 0);
  head_ += RecordSize(size_);
  size_ = 0;
}

bool RingReader::Release() {
  if (head_ == released_) return false;
  released_ = head_;
  Store(own_.head, head_, std::memory_order_seq_cst);
  return true;
}

bool RingReader::HasFrame() {
  return size_ != 0 || head_ != tail_ || !RefreshTail(std::memory_order_seq_cst) || head_ != tail_;
}

}  // namespace nearcall::transport::shm
