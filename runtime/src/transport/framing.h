// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

// What stands in a stream of bytes: each frame behind its length. runtime/PROTOCOL.md describes it.
namespace nearcall::transport {

using Length = uint32_t;
static_assert(std::endian::native == std::endian::little, "the length is little-endian");

inline constexpr size_t kLengthSize = sizeof(Length);

// A frame with its length is four pages, so that a pipe of default size (16 pages) holds four of the largest.
inline constexpr size_t kMaxFrameSize = (size_t{16} << 10) - kLengthSize;

// Each side gathers up to two of the largest frames for one write, or from one read. Small: what a pipe did not take
// stands before an urgent frame.
inline constexpr size_t kBufferSize = 2 * (kLengthSize + kMaxFrameSize);

// In a length: what follows is no frame but a note (notes.h).
inline constexpr Length kNoteBit = Length{1} << 31;
inline constexpr size_t kMaxNoteSize = 64;

}  // namespace nearcall::transport
