// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/shared_memory.h"

namespace nearcall::base {

// Shared memory that this process writes again and again, and others read meanwhile, each for as long as it has a
// lease: a descriptor of it with a read lock, which is the kernel's to take back from who dies. Sealed against all
// other writers. Constant; thread-safe.
class PoolBlock {
 public:
  // RESOURCE_EXHAUSTED: no memory, no descriptor. UNIMPLEMENTED: nobody can have a lease here, as there is no /proc.
  static absl::StatusOr<std::unique_ptr<PoolBlock>> Create(size_t size);

  std::span<std::byte> bytes() const { return mapping_.bytes(); }

  // As long as this one, or what is made of it by dup(2), SCM_RIGHTS and mmap(2), is there, the block is not idle. Of
  // its own for each peer: whoever has it can end it. Not valid: there is no descriptor left, or somebody has locked
  // it.
  Fd Lease() const;
  bool idle() const;

 private:
  PoolBlock(Fd fd, Mapping mapping) : fd_(std::move(fd)), mapping_(std::move(mapping)) {}

  const Fd fd_;
  const Mapping mapping_;
};

}  // namespace nearcall::base
