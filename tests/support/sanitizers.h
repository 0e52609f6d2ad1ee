#pragma once

namespace nearcall::testing {

// Whether this program is built with AddressSanitizer or ThreadSanitizer, which some limits and signals do not agree
// with.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitizers = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitizers = true;
#else
inline constexpr bool kSanitizers = false;
#endif
#else
inline constexpr bool kSanitizers = false;
#endif

// Whether it is ThreadSanitizer, for tests that race on purpose.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace nearcall::testing
