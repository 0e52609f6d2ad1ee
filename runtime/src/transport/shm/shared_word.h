// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <type_traits>

// The only way to words that another process sees. One seam, so that a test build can count, delay or cut off each
// access. Memory orders are the caller's, with the reason beside them.
namespace nearcall::transport::shm {

template <typename T>
inline constexpr bool kIsSharedWord = std::is_integral_v<T> &&
                                      sizeof(std::atomic<T>) == sizeof(T) && std::atomic<T>::is_always_lock_free;

template <typename T>
T Load(const std::atomic<T>& word, std::memory_order order) {
  static_assert(kIsSharedWord<T>);
  return word.load(order);
}

template <typename T>
void Store(std::atomic<T>& word, std::type_identity_t<T> value, std::memory_order order) {
  static_assert(kIsSharedWord<T>);
  word.store(value, order);
}

}  // namespace nearcall::transport::shm
