// SPDX-License-Identifier: Apache-2.0
#include "nearcall/buffer_pool.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/buffer_memory.h"
#include "base/fork.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/pool_block.h"

namespace nearcall {

using base::PoolBlock;

// Of all blocks that a pool has, those for which this process has no handle; a receiver may have them. Lives as long as
// the pool and each of its buffers.
class BufferPool::Blocks : public std::enable_shared_from_this<Blocks> {
 public:
  explicit Blocks(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Null: there is no room, or there can be none. A child of fork(2) has nothing of its parent's memory.
  std::shared_ptr<PoolBlock> Take(size_t size) {
    if (fork_guard_.InChild()) return nullptr;
    const size_t rounded = base::PagesIn(size) * base::PageSize();
    std::unique_ptr<PoolBlock> block = TakeIdle(rounded);
    if (block == nullptr) block = Make(rounded);
    if (block == nullptr) return nullptr;
    return {block.release(),
            [blocks = shared_from_this()](PoolBlock* used) { blocks->TakeBack(std::unique_ptr<PoolBlock>(used)); }};
  }

  // The pool has ended.
  void Close() {
    if (fork_guard_.InChild()) return;
    base::MutexLock lock(mutex_);
    closed_ = true;
    returned_.clear();
  }

  size_t bytes() const {
    base::MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  using Ptr = std::unique_ptr<PoolBlock>;

  // The one that fits best, and is not much larger.
  Ptr TakeIdle(size_t size) {
    base::MutexLock lock(mutex_);
    auto best = returned_.end();
    for (auto i = returned_.begin(); i != returned_.end(); ++i) {
      const size_t has = (*i)->bytes().size();
      if (has < size || has > 2 * size) continue;
      if (best != returned_.end() && (*best)->bytes().size() <= has) continue;
      if ((*i)->idle()) best = i;
    }
    if (best == returned_.end()) return nullptr;
    Ptr block = std::move(*best);
    returned_.erase(best);
    return block;
  }

  Ptr Make(size_t size) {
    if (!Reserve(size)) return nullptr;
    absl::StatusOr<Ptr> made = PoolBlock::Create(size);
    if (made.ok()) return *std::move(made);
    base::MutexLock lock(mutex_);
    bytes_ -= size;
    return nullptr;
  }

  // Room for one more, if need be that of some that are not used.
  bool Reserve(size_t size) {
    base::MutexLock lock(mutex_);
    if (size > max_bytes_) return false;
    for (auto i = returned_.begin(); i != returned_.end() && bytes_ + size > max_bytes_;) {
      bytes_ -= (*i)->bytes().size();
      i = returned_.erase(i);
    }
    if (bytes_ + size > max_bytes_) return false;
    bytes_ += size;
    return true;
  }

  void TakeBack(Ptr block) {
    if (fork_guard_.InChild()) return;
    base::MutexLock lock(mutex_);
    if (!closed_) returned_.push_back(std::move(block));
  }

  const size_t max_bytes_;
  const base::ForkGuard fork_guard_;
  mutable base::Mutex mutex_;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of all of them
  std::vector<Ptr> returned_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

BufferPool::BufferPool(size_t max_bytes) : blocks_(std::make_shared<Blocks>(max_bytes)) {}

BufferPool::~BufferPool() {
  blocks_->Close();
}

absl::StatusOr<Buffer> BufferPool::Allocate(size_t size) {
  std::shared_ptr<PoolBlock> block = size < base::kPassedFrom ? nullptr : blocks_->Take(size);
  if (block == nullptr) return Buffer::Allocate(size);
  return Buffer(std::make_shared<Buffer::Memory>(std::move(block), size));
}

size_t BufferPool::bytes() const {
  return blocks_->bytes();
}

}  // namespace nearcall
