// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/streaming_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nearcall::transport::shm {

#if defined(__SSE2__)

namespace {

constexpr size_t kLine = 64;

void StreamLine(std::byte* to, const std::byte* from) {
  for (size_t i = 0; i < kLine; i += sizeof(__m128i)) {
    const __m128i block = ::_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    ::_mm_stream_si128(reinterpret_cast<__m128i*>(to + i), block);
  }
}

}  // namespace

void StreamingCopy(std::span<std::byte> to, std::span<const std::byte> from) {
  const size_t misaligned = reinterpret_cast<uintptr_t>(to.data()) % kLine;
  const size_t head = std::min(from.size(), misaligned == 0 ? 0 : kLine - misaligned);
  std::memcpy(to.data(), from.data(), head);
  size_t done = head;
  for (; from.size() - done >= kLine; done += kLine) StreamLine(to.data() + done, from.data() + done);
  std::memcpy(to.data() + done, from.data() + done, from.size() - done);
  // Streaming stores are not ordered by a release store: without this the tail could overtake them.
  ::_mm_sfence();
}

#else

void StreamingCopy(std::span<std::byte> to, std::span<const std::byte> from) {
  std::memcpy(to.data(), from.data(), from.size());
}

#endif

}  // namespace nearcall::transport::shm
