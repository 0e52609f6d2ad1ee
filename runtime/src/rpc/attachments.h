// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/buffer_memory.h"
#include "base/fd.h"
#include "nearcall/buffer.h"
#include "session/side_line.h"
#include "wire/attachments.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

// The attachments of a message that is to be sent: which of them are passed or lent, and which are copied behind its
// payload. Holds what it is made of. Of a message that has none it is one word. Not synchronised.
class Attached {
 public:
  Attached() = default;

  // `buffers`, which are sealed by this, for whom `side` leads to, beside `descriptors` of the program's.
  // INVALID_ARGUMENT: there are too many; FAILED_PRECONDITION: one cannot be sealed, or the peer knows none. The text
  // goes on after `whose`.
  static absl::StatusOr<Attached> To(const session::SideLine& side, std::span<const Buffer> buffers,
                                     std::span<const int> descriptors, const char* whose) {
    if (buffers.empty()) return Attached();
    return Make(side, buffers, descriptors, whose);
  }
  // The part of that for which no peer is needed.
  static absl::Status Seal(std::span<const Buffer> buffers, const char* whose);

  bool empty() const { return made_ == nullptr; }
  // Whether they would be the same for whom `side` leads to.
  bool IsFor(const session::SideLine& side) const;
  // Of all of them, however they travel.
  size_t total() const { return made_ == nullptr ? 0 : made_->total; }
  // By which some are passed. Lent.
  std::span<const int> passed() const {
    return made_ == nullptr ? std::span<const int>() : std::span(made_->descriptors).last(made_->passed);
  }

  // What stands behind the payload, in parts. Lent.
  std::span<const std::span<const std::byte>> tail() const { return made_ == nullptr ? Parts() : Parts(made_->tail); }
  size_t tail_size() const { return made_ == nullptr ? 0 : made_->tail_size; }

  // What goes over the side socket: `own`, which are those that it was made beside, and then those of the passed ones.
  // Lent.
  std::span<const int> DescriptorsBeside(std::span<const int> own) const {
    return made_ == nullptr ? own : std::span<const int>(made_->descriptors);
  }
  // Says so in a message's header.
  void Announce(wire::FrameHeader& header, std::span<const int> own) const {
    header.fd_count = static_cast<uint8_t>(DescriptorsBeside(own).size());
    if (made_ != nullptr) header.attachment_count = static_cast<uint8_t>(made_->buffers.size());
  }

 private:
  using Parts = std::span<const std::span<const std::byte>>;

  struct Made {
    // The next attachment: with a descriptor. False: there can be none.
    bool Pass(Buffer::Memory& memory);
    void Copy(std::span<const std::byte> bytes);

    std::vector<Buffer> buffers;
    std::vector<base::Fd> leases;
    std::vector<std::shared_ptr<Buffer::Memory>> in_place;  // of what would have to be lent, and cannot be
    std::vector<int> descriptors;                           // the program's, too
    size_t passed = 0;
    std::vector<uint64_t> table;
    std::vector<std::span<const std::byte>> tail;
    size_t tail_size = 0;
    size_t total = 0;
    size_t takes_bytes = 0;  // the peer
    size_t takes_attachments = 0;
    bool takes_lent = false;
  };

  static absl::StatusOr<Attached> Make(const session::SideLine& side, std::span<const Buffer> buffers,
                                       std::span<const int> descriptors, const char* whose);

  std::unique_ptr<const Made> made_;
};

// Those that came with `message`, for the program. INTERNAL: one is not what it should be. RESOURCE_EXHAUSTED: there is
// no memory, or the peer's user has used up his.
absl::StatusOr<std::vector<Buffer>> OpenAttachments(wire::Message& message);

}  // namespace nearcall::rpc
