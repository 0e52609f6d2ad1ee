// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <utility>

namespace nearcall::base {

// An integer with a meaning, so that a call id cannot be passed for a method id:
//
//   using CallId = StrongId<struct CallIdTag>;
template <typename Tag, typename T = uint64_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(T value) : value_(value) {}
  constexpr T value() const { return value_; }

  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  template <typename H>
  friend H AbslHashValue(H state, StrongId id) {
    return H::combine(std::move(state), id.value_);
  }

 private:
  T value_ = 0;
};

}  // namespace nearcall::base
