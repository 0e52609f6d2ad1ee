// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/quota.h"
#include "base/shared_memory.h"

namespace nearcall::base {

// A peer's PoolBlock as it is mapped here.
class LentBlock {
 public:
  LentBlock(Mapping mapping, PaidBytes paid) : paid_(std::move(paid)), mapping_(std::move(mapping)) {}

  std::span<std::byte> bytes() const { return mapping_.bytes(); }

 private:
  const PaidBytes paid_;
  const Mapping mapping_;
};

// The blocks of one peer that is trusted with what it has lent: those of late stay mapped, so that a block that comes
// again costs no page fault. Thread-safe.
class LentBlocks {
 public:
  // `account`: of the peer's user, who pays for what is mapped; may be null.
  explicit LentBlocks(std::shared_ptr<Account> account) : account_(std::move(account)) {}

  // That of which `lease` (lent) is, which has at least `size` bytes. INTERNAL: it is not such memory.
  // RESOURCE_EXHAUSTED: no memory, or the user has used up his part.
  absl::StatusOr<std::shared_ptr<const LentBlock>> Find(int lease, size_t size);

 private:
  struct Known {
    dev_t device;
    ino_t inode;
    std::shared_ptr<const LentBlock> block;
  };

  absl::StatusOr<std::shared_ptr<const LentBlock>> Map(int fd, size_t size) const;

  const std::shared_ptr<Account> account_;
  Mutex mutex_;
  std::vector<Known> known_ ABSL_GUARDED_BY(mutex_);  // the latest one last
};

}  // namespace nearcall::base
