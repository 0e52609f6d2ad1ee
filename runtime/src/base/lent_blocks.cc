// SPDX-License-Identifier: Apache-2.0
#include "base/lent_blocks.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/fd.h"
#include "base/limits.h"

namespace nearcall::base {

absl::StatusOr<std::shared_ptr<const LentBlock>> LentBlocks::Find(int lease, size_t size) {
  // Who says that his memory is lent is trusted with what is in it. Not with what the descriptor is: whether it is
  // memory at all is asked before anything else is asked it.
  absl::StatusOr<struct stat> file = VerifyLentMemory(lease, size);
  if (!file.ok()) return file.status();
  MutexLock lock(mutex_);
  const auto known = std::find_if(known_.begin(), known_.end(), [&](const Known& one) {
    return one.device == file->st_dev && one.inode == file->st_ino;
  });
  if (known != known_.end()) {
    std::rotate(known, known + 1, known_.end());
    return known_.back().block;
  }
  // SUBTLE: what is mapped stays mapped after the lease has ended, so it is not mapped by that: a mapping would be one.
  const Fd own = OpenToRead(lease);
  auto mapped = Map(own.valid() ? own.get() : lease, static_cast<size_t>(file->st_size));
  if (!mapped.ok() || !own.valid()) return mapped;
  if (known_.size() == kMaxLentBlocks) known_.erase(known_.begin());
  known_.push_back({file->st_dev, file->st_ino, *mapped});
  return mapped;
}

absl::StatusOr<std::shared_ptr<const LentBlock>> LentBlocks::Map(int fd, size_t size) const {
  absl::StatusOr<PaidBytes> paid = PaidBytes::Take(account_, size);
  if (!paid.ok()) return paid.status();
  absl::StatusOr<Mapping> mapping = Mapping::MapLent(fd, size);
  if (!mapping.ok()) return mapping.status();
  return std::make_shared<const LentBlock>(*std::move(mapping), *std::move(paid));
}

}  // namespace nearcall::base
