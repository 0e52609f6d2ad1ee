// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

// How far the writer of a stream may be ahead of its reader, in bytes. An element may begin while any credit is left,
// whatever its size: so one that is larger than the window never waits for what cannot come. What has come and was not
// read is at most a window and one element.
namespace nearcall::session {

// What an element costs beside its bytes: else a million of empty ones would be free.
inline constexpr int64_t kElementCost = 32;

inline int64_t CostOf(size_t element_size) {
  return static_cast<int64_t>(element_size) + kElementCost;
}

// The writer's side.
class SendCredit {
 public:
  explicit SendCredit(uint32_t window) : window_(window), left_(window) {}

  // False, and nothing done: there is no credit.
  [[nodiscard]] bool Begin(size_t element_size) {
    if (!may_begin()) return false;
    left_ -= CostOf(element_size);
    return true;
  }
  bool may_begin() const { return left_ > 0; }

  // False: the reader gives more than a window, which is a violation.
  [[nodiscard]] bool Add(uint32_t bytes) {
    left_ += bytes;
    return left_ <= window_;
  }

 private:
  const int64_t window_;
  int64_t left_;
};

// The reader's side: what its peer may send.
class ReceiveWindow {
 public:
  explicit ReceiveWindow(uint32_t window) : left_(window) {}

  // An element has come. False: it began without credit, which is a violation.
  [[nodiscard]] bool Accept(size_t element_size) {
    if (left_ <= 0) return false;
    left_ -= CostOf(element_size);
    return true;
  }

  // Credit is about to be given.
  void Open(uint32_t bytes) { left_ += bytes; }

 private:
  int64_t left_;
};

// The reader's side: what has been read, and not given back as credit.
class ReadCount {
 public:
  explicit ReadCount(uint32_t window) : enough_(std::max<int64_t>(1, int64_t{window} / 2)) {}

  // An element has been read. The credit to give now, or 0: half a window at a time, so that one frame of credit goes
  // out for many small elements. Who has read all has given back all but less than half, so his peer is not stuck.
  uint32_t Read(size_t element_size) {
    read_ += CostOf(element_size);
    return read_ < enough_ ? 0 : static_cast<uint32_t>(std::exchange(read_, 0));
  }

 private:
  const int64_t enough_;
  int64_t read_ = 0;
};

}  // namespace nearcall::session
