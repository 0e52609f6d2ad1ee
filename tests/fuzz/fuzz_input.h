// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace nearcall::fuzz {

// The input, taken piece by piece; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(std::as_bytes(std::span(data, size))) {}

  bool empty() const { return rest_.empty(); }
  size_t size() const { return rest_.size(); }

  template <typename T>
  T Take() {
    T value{};
    const std::span<const std::byte> bytes = TakeBytes(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

  // At most `size` of what is left.
  std::span<const std::byte> TakeBytes(size_t size) {
    const std::span<const std::byte> taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::byte> rest_;
};

// What every fuzz target implements: once for libFuzzer (./dev fuzz), once for the replay of the corpus, which is a
// test of every build.
void Run(Input input);

}  // namespace nearcall::fuzz
