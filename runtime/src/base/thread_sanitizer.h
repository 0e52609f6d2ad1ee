// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define NEARCALL_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NEARCALL_THREAD_SANITIZER 1
#endif
#endif

#if defined(NEARCALL_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace nearcall::base {

// What a frame's sender did before it is done for who takes the frame. ThreadSanitizer does not know: it tells memory
// apart by address, and the two ends of a connection have a mapping each, or a queue of the kernel between them. So a
// program with both ends in it would be told of races that are none, in whatever its calls hand over.
//
// The sender says Released() before the frame can be seen, the receiver Acquired() after it has taken it, both with the
// frame's source_id. Nothing without ThreadSanitizer.
#if defined(NEARCALL_THREAD_SANITIZER)
inline constexpr bool kThreadSanitizer = true;

namespace internal {
// Sources with the same remainder are one to ThreadSanitizer, which then believes a little too much.
inline std::array<char, 1024> sources;
inline void* SourceAt(uint32_t source_id) {
  return &sources[source_id % sources.size()];
}
}  // namespace internal

inline void Released(uint32_t source_id) {
  __tsan_release(internal::SourceAt(source_id));
}
inline void Acquired(uint32_t source_id) {
  __tsan_acquire(internal::SourceAt(source_id));
}
#else
inline constexpr bool kThreadSanitizer = false;

inline void Released(uint32_t) {}
inline void Acquired(uint32_t) {}
#endif

}  // namespace nearcall::base
