// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/ring_writer.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "transport/shm/record.h"

namespace nearcall::transport::shm {

size_t RingWriter::PaddingAt(uint64_t tail, size_t size) const {
  const size_t to_end = ring_.size() - OffsetOf(tail);
  return RecordSize(size) > to_end ? to_end : 0;
}

bool RingWriter::Fits(uint64_t tail, uint64_t head, size_t size) const {
  return PaddingAt(tail, size) + RecordSize(size) <= ring_.size() - (tail - head);
}

bool RingWriter::RefreshHead() {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  // Acquire: the peer's copying out of what it gave back is over before it is overwritten.
  const uint64_t head = Load(peer_.head, std::memory_order_acquire);
  if (head - head_ > tail - head_ || head % kRecordAlign != 0) {
    fault_.Report(absl::StrCat("its head is ", head, ", expected a multiple of 64 from ", head_, " to ", tail));
    return false;
  }
  head_ = head;
  return true;
}

std::span<std::byte> RingWriter::Reserve(size_t size) {
  NEARCALL_CHECK(size > 0 && size <= MaxFrameSize(ring_.size()));
  reserved_ = 0;
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (!Fits(tail, head_, size) && (!RefreshHead() || !Fits(tail, head_, size))) return {};
  reserved_ = size;
  return ring_.subspan(OffsetOf(tail + PaddingAt(tail, size)) + kPrefixSize, size);
}

void RingWriter::Commit() {
  NEARCALL_CHECK(reserved_ != 0);
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (const size_t padding = PaddingAt(tail, reserved_); padding != 0) {
    StorePrefix(tail, RecordPrefix::ToWord(padding - kPrefixSize, RecordKind::kPadding));
    tail += padding;
  }
  StorePrefix(tail, RecordPrefix::ToWord(reserved_, RecordKind::kFrame));
  tail += RecordSize(reserved_);
  reserved_ = 0;
  tail_.store(tail, std::memory_order_relaxed);
  // Release: pairs with the acquire in RingReader::RefreshTail; the records are complete before they are seen.
  Store(own_.tail, tail, std::memory_order_release);
}

bool RingWriter::Publish() {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail == published_) return false;
  published_ = tail;
  Store(own_.tail, tail, std::memory_order_seq_cst);
  return true;
}

bool RingWriter::HasRoom(size_t size) const {
  const uint64_t head = Load(peer_.head, std::memory_order_seq_cst);
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  // The two do not fit: the writing thread went on between the loads, or the peer lies. Reserve() finds out which.
  if (tail - head > ring_.size()) return true;
  return Fits(tail, head, size);
}

bool RingWriter::PeerHasReadAll() const {
  return Load(peer_.head, std::memory_order_acquire) == tail_.load(std::memory_order_relaxed);
}

void RingWriter::StorePrefix(uint64_t index, uint64_t word) {
  // Relaxed: the tail's release store makes it visible.
  Store(*reinterpret_cast<std::atomic<uint64_t>*>(ring_.data() + OffsetOf(index)), word, std::memory_order_relaxed);
}

}  // namespace nearcall::transport::shm
