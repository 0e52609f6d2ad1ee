// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "base/warm_memory.h"

namespace nearcall::base {

// Bytes that are not initialised, with a capacity that is kept: Resize() allocates only if the capacity does not do,
// and then does not keep the content. Memory that is never written is never touched, so a large size that a peer only
// announces costs address space and nothing else. Large ones are of WarmMemory. Not synchronised.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { Resize(size); }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  ~Buffer() { Free(); }

  friend void swap(Buffer& a, Buffer& b) noexcept {
    std::swap(a.data_, b.data_);
    std::swap(a.size_, b.size_);
    std::swap(a.capacity_, b.capacity_);
  }

  void Resize(size_t size) {
    if (!TryResize(size)) throw std::bad_alloc();
  }

  // The same for a size that a peer chose: without memory it changes nothing and returns false.
  [[nodiscard]] bool TryResize(size_t size) {
    if (size > capacity_ && !TryReplace(size)) return false;
    size_ = size;
    return true;
  }

  // Gives memory back that is larger than `capacity`.
  void Trim(size_t capacity) {
    if (capacity_ <= capacity) return;
    Free();
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::span<std::byte> bytes() { return {data_, size_}; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  bool TryReplace(size_t size) {
    const WarmMemory::Block block = size >= WarmMemory::kMinBlock
                                        ? WarmMemory::TryTake(size)
                                        : WarmMemory::Block{new (std::nothrow) std::byte[size], size};
    if (block.data == nullptr) return false;
    Free();
    data_ = block.data;
    capacity_ = block.size;
    return true;
  }

  void Free() {
    if (capacity_ >= WarmMemory::kMinBlock) {
      WarmMemory::Give({data_, capacity_});
    } else {
      delete[] data_;
    }
  }

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace nearcall::base
