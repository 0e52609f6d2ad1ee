// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptors.h"
#include "base/fd.h"
#include "base/lent_blocks.h"
#include "base/mutex.h"
#include "base/pool_block.h"
#include "base/quota.h"
#include "base/shared_memory.h"
#include "nearcall/buffer.h"

namespace nearcall {

// What a Buffer is a handle of: a mapping of shared memory, which can be passed; a part of a pool's memory, which can
// be lent; a peer's memory of either kind; or a block of this process's own.
//
// Thread-safe once it is sealed; one thread at a time before.
class Buffer::Memory {
 public:
  // Who has sent memory that is opened here. A stranger is one who may want to harm this process: his memory is looked
  // at page by page, that of the own user's (who could harm it anyway) costs the same whatever its size.
  enum class Sender { kOwnUser, kStranger };

  static absl::StatusOr<std::shared_ptr<Memory>> Allocate(size_t size);

  // A peer's sealed memory; `fd` is lent. `account`: of its user, who pays for it as long as it is kept; may be null.
  // INTERNAL: it is not sealed, not memory, sparse, or not of that size. RESOURCE_EXHAUSTED: no memory, or the user has
  // used up his part.
  static absl::StatusOr<std::shared_ptr<Memory>> Open(int fd, size_t size, Sender sender,
                                                      std::shared_ptr<base::Account> account);
  // The same for what came as bytes.
  static absl::StatusOr<std::shared_ptr<Memory>> Copy(std::span<const std::byte> bytes,
                                                      std::shared_ptr<base::Account> account);

  // What a peer has lent with `lease`, which this keeps. As `blocks` have it.
  static absl::StatusOr<std::shared_ptr<Memory>> OpenLent(base::Descriptors lease, size_t size,
                                                          base::LentBlocks& blocks);

  Memory() = default;
  // The first `size` bytes of a pool's memory.
  Memory(std::shared_ptr<base::PoolBlock> block, size_t size)
      : pool_block_(std::move(block)), bytes_(pool_block_->bytes().first(size)) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  // To close a lease, which is known to be one of memory, waits for nobody.
  ~Memory() { lease_.Release(); }

  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> mutable_bytes() { return sealed() ? std::span<std::byte>() : bytes_; }

  absl::Status Seal();
  bool sealed() const { return sealed_.load(std::memory_order_acquire); }

  // By which it is passed to a peer; -1: it cannot be.
  int fd() const { return fd_.get(); }
  // By which it is lent to one; not valid: it cannot be.
  base::Fd Lease() const { return pool_block_ == nullptr ? base::Fd() : pool_block_->Lease(); }
  // What can be passed in place of what could only be lent; null: there is none.
  std::shared_ptr<Memory> SealedCopy();

 private:
  base::PaidBytes paid_;
  base::Fd fd_;
  base::Mapping mapping_;
  std::unique_ptr<std::byte[]> block_;
  std::shared_ptr<base::PoolBlock> pool_block_;
  std::shared_ptr<const base::LentBlock> lent_block_;
  base::Descriptors lease_;     // of that
  std::span<std::byte> bytes_;  // of whichever it is
  base::Mutex sealing_;
  std::atomic<bool> sealed_{false};
  std::shared_ptr<Memory> sealed_copy_ ABSL_GUARDED_BY(sealing_);
};

}  // namespace nearcall
