// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define NEARCALL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NEARCALL_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(NEARCALL_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

namespace nearcall::base {

// AddressSanitizer takes any use of this memory for a fault, as of memory that was freed, until Unpoison(). Nothing
// without it.
inline void Poison(const void* data, size_t size) {
#if defined(NEARCALL_ADDRESS_SANITIZER)
  __asan_poison_memory_region(data, size);
#else
  static_cast<void>(data), static_cast<void>(size);
#endif
}
inline void Unpoison(const void* data, size_t size) {
#if defined(NEARCALL_ADDRESS_SANITIZER)
  __asan_unpoison_memory_region(data, size);
#else
  static_cast<void>(data), static_cast<void>(size);
#endif
}

}  // namespace nearcall::base
