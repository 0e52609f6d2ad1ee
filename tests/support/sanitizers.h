// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/thread_sanitizer.h"

namespace nearcall::testing {

// Whether this program is built with ThreadSanitizer, for tests that race on purpose.
using base::kThreadSanitizer;

// Whether it is built with AddressSanitizer or ThreadSanitizer, which some limits and signals do not agree with.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitizers = true;
#elif defined(__has_feature)
inline constexpr bool kSanitizers = kThreadSanitizer || __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitizers = kThreadSanitizer;
#endif

// Whether a child may be forked of a process with threads, and do more than end. ThreadSanitizer lets it start no
// thread of its own; in AddressSanitizer's, the allocator stays locked if another thread allocated at that moment.
inline constexpr bool kForksWithThreads = !kSanitizers;

}  // namespace nearcall::testing
