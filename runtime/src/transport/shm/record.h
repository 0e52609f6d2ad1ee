// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace nearcall::transport::shm {

// A frame in a ring: an 8-byte prefix, the frame, and zero or more unused bytes up to the next record.
//
//    0        4        8
//   +--------+--------+---------------- - - -
//   | size   | kind   | frame
//   +--------+--------+---------------- - - -
//
// Records begin at multiples of 64 bytes, so a prefix and a frame's header of 56 bytes share one cache line, and never
// straddle the end of the ring: where one would, a padding record fills the rest of the ring.
inline constexpr size_t kRecordAlign = 64;
inline constexpr size_t kPrefixSize = 8;

enum class RecordKind : uint32_t { kFrame = 1, kPadding = 2 };

// Read and written as one 64-bit word: what was checked is what is used.
struct RecordPrefix {
  uint32_t size = 0;  // of what follows the prefix: the frame, or the rest of the ring
  uint32_t kind = 0;  // RecordKind; any value until checked

  static constexpr RecordPrefix FromWord(uint64_t word) {
    return {.size = static_cast<uint32_t>(word), .kind = static_cast<uint32_t>(word >> 32)};
  }
  static constexpr uint64_t ToWord(size_t size, RecordKind kind) {
    return static_cast<uint64_t>(kind) << 32 | static_cast<uint32_t>(size);
  }
  bool Is(RecordKind wanted) const { return kind == static_cast<uint32_t>(wanted); }
};

// What a frame takes of the ring.
constexpr size_t RecordSize(size_t frame_size) {
  return (kPrefixSize + frame_size + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}

// A quarter of the ring as a record: writer and reader work at the same time, and a frame with the padding before it
// always fits into an empty ring.
constexpr size_t MaxFrameSize(size_t ring_size) {
  return ring_size / 4 - kPrefixSize;
}

}  // namespace nearcall::transport::shm
