// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace nearcall::base {

// Bytes that are not initialised, with a capacity that is kept: Resize() allocates only if the capacity does not do,
// and then does not keep the content. Memory that is never written is never touched, so a large size that a peer only
// announces costs address space and nothing else. Not synchronised.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { Resize(size); }
  Buffer(Buffer&& other) noexcept
      : data_(std::move(other.data_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }
  ~Buffer() = default;

  void Resize(size_t size) {
    if (size > capacity_) Replace(std::make_unique_for_overwrite<std::byte[]>(size), size);
    size_ = size;
  }

  // The same for a size that a peer chose: without memory it changes nothing and returns false.
  [[nodiscard]] bool TryResize(size_t size) {
    if (size > capacity_) {
      std::unique_ptr<std::byte[]> data(new (std::nothrow) std::byte[size]);
      if (data == nullptr) return false;
      Replace(std::move(data), size);
    }
    size_ = size;
    return true;
  }

  // Gives memory back that is larger than `capacity`.
  void Trim(size_t capacity) {
    if (capacity_ <= capacity) return;
    data_.reset();
    size_ = capacity_ = 0;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::span<std::byte> bytes() { return {data_.get(), size_}; }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  void Replace(std::unique_ptr<std::byte[]> data, size_t capacity) {
    data_ = std::move(data);
    capacity_ = capacity;
  }

  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace nearcall::base
