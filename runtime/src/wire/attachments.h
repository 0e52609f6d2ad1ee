// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "base/lent_blocks.h"
#include "base/limits.h"
#include "base/quota.h"

namespace nearcall::wire {

struct Message;

// What the receiver of messages has to do with their attachments: what it has granted, and whom they are of.
struct AttachmentTerms {
  // That may be passed with one message, in bytes. Zero: all come as copies.
  size_t max_passed = 0;
  // The program's, beside those by which attachments are passed.
  size_t max_descriptors = base::kMaxMessageDescriptors;
  // Whose memory is taken as lent, too; null: no peer's.
  std::shared_ptr<base::LentBlocks> lent = {};
  // Of the peer's user, who pays for what is opened; may be null.
  std::shared_ptr<base::Account> account = {};
  // The peer's user is this process's, or root.
  bool of_own_user = false;
};

// The attachments of one message, as they are behind its payload: the bytes of those that are copied, one behind the
// other, and then the table. That has a word for each (u64): its size, and in bits 63 and 62 how it travels. See
// PROTOCOL.md, "Attachments".
// Of a message that has none it is one word.
class Attachments {
 public:
  // How one travels: in the message; as a descriptor of memory that nobody writes to any more; or of memory that its
  // maker will write to again, when nobody has that descriptor any more.
  enum class Way : uint8_t { kCopied, kPassed, kLent };
  struct One {
    size_t size = 0;
    Way way = Way::kCopied;
    bool has_descriptor() const { return way != Way::kCopied; }
  };
  struct Found {
    std::vector<One> list = {};
    size_t tail_size = 0;           // of the message's bytes: the copied ones and the table
    size_t total = 0;               // of all of them, however they travel
    base::Descriptors memory = {};  // of those that are passed or lent, in order
    AttachmentTerms terms = {};
  };

  Attachments() = default;
  explicit Attachments(Found found) : found_(std::make_unique<Found>(std::move(found))) {}

  bool empty() const { return found_ == nullptr; }
  void Clear() { found_.reset(); }
  size_t tail_size() const { return found_ == nullptr ? 0 : found_->tail_size; }
  size_t total() const { return found_ == nullptr ? 0 : found_->total; }
  // Not of none.
  Found& found() { return *found_; }

 private:
  std::unique_ptr<Found> found_;
};

inline constexpr size_t kTableEntrySize = sizeof(uint64_t);

// The entry of one in the table.
uint64_t EncodeAttachment(size_t size, Attachments::Way way);

// Of `message`, which is whole and whose header announces some: finds them. Those of its descriptors by which they are
// passed, the last ones, are theirs from now on. INTERNAL: a table that cannot be, or against what `terms` grant.
absl::Status FindAttachments(Message& message, const AttachmentTerms& terms);

}  // namespace nearcall::wire
