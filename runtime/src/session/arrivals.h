// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/quota.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Elements of a stream that have come and were not read, in order. Small ones stand one behind the other in memory that
// is used again; a large one, and one with descriptors or attachments, keeps the buffer in which it was put together,
// and the charge for it.
//
// Not synchronised. A reader exchanges its own, empty one for the one that is filled, and then reads without a lock.
class Arrivals {
 public:
  // A small one.
  void Push(std::span<const std::byte> element);
  // The payload of `message`, of any size.
  void Push(wire::Message& message);
  // Of a message whose elements have been pushed one by one: it pays for them until all have been read.
  void Keep(wire::Message& packed);

  bool empty() const { return read_ == small_.size(); }
  // Of one that is not empty. Stays until Pop().
  std::span<const std::byte> front() const;
  void Pop();
  // What it costs of its stream's window beside what each does: its bytes and those of its attachments.
  size_t front_cost() const;
  // Those that came with it.
  base::Descriptors TakeDescriptors();
  // The message, if it has attachments; else null. Until Pop().
  wire::Message* FrontWithAttachments();

  void Clear();

 private:
  // What is copied rather than kept: fresh memory for each would cost more than the copy.
  static constexpr size_t kMaxCopied = size_t{4} << 10;
  // Instead of a size: the element is the next one of large_.
  static constexpr uint32_t kInLarge = UINT32_MAX;

  // Memory that is used again, and not given back when all has been read.
  static constexpr size_t kMaxKept = size_t{64} << 10;

  uint32_t SizeOfFront() const;
  void MakeRoom(size_t more);
  void PushSize(uint32_t size);

  std::vector<std::byte> small_;  // sizes (u32), each with its element behind it
  size_t read_ = 0;               // of small_
  std::vector<wire::Message> large_;
  size_t large_read_ = 0;
  std::vector<base::Charge> packed_;
};

}  // namespace nearcall::session
