// SPDX-License-Identifier: Apache-2.0
#include "base/buffer_memory.h"

#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall {

namespace {

absl::Status NoBlock(size_t size) {
  return absl::ResourceExhaustedError(absl::StrCat("no memory for an attachment of ", size, " B"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Buffer::Memory>> Buffer::Memory::Allocate(size_t size) {
  auto memory = std::make_shared<Memory>();
  if (size == 0) return memory;
  if (size < base::kPassedFrom) {
    memory->block_.reset(new (std::nothrow) std::byte[size]());
    if (memory->block_ == nullptr) return NoBlock(size);
    memory->bytes_ = {memory->block_.get(), size};
    return memory;
  }
  absl::StatusOr<base::Fd> fd = base::CreateSharedMemory(size, base::kMaxAttachmentBytes);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<base::Mapping> mapping = base::Mapping::Map(*fd, 0, size, base::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  memory->fd_ = *std::move(fd);
  memory->mapping_ = *std::move(mapping);
  memory->bytes_ = memory->mapping_.bytes();
  return memory;
}

absl::StatusOr<std::shared_ptr<Buffer::Memory>> Buffer::Memory::Open(int fd, size_t size, Sender sender,
                                                                     std::shared_ptr<base::Account> account) {
  if (absl::Status sealed = base::VerifySealedMemory(fd, size); !sealed.ok()) return sealed;
  auto memory = std::make_shared<Memory>();
  // Before any page is touched: one that is missing becomes ours.
  absl::StatusOr<base::PaidBytes> paid = base::PaidBytes::Take(std::move(account), size);
  if (!paid.ok()) return paid.status();
  memory->paid_ = *std::move(paid);
  absl::StatusOr<base::Mapping> mapping = base::Mapping::MapSealed(fd, size);
  if (!mapping.ok()) return mapping.status();
  if (sender == Sender::kStranger) {
    if (absl::Status there = mapping->Populate(); !there.ok()) return there;
  }
  memory->mapping_ = *std::move(mapping);
  memory->bytes_ = memory->mapping_.bytes();
  memory->sealed_.store(true, std::memory_order_release);
  return memory;
}

absl::StatusOr<std::shared_ptr<Buffer::Memory>> Buffer::Memory::Copy(std::span<const std::byte> bytes,
                                                                     std::shared_ptr<base::Account> account) {
  auto memory = std::make_shared<Memory>();
  absl::StatusOr<base::PaidBytes> paid = base::PaidBytes::Take(std::move(account), bytes.size());
  if (!paid.ok()) return paid.status();
  memory->paid_ = *std::move(paid);
  if (!bytes.empty()) {
    memory->block_.reset(new (std::nothrow) std::byte[bytes.size()]);
    if (memory->block_ == nullptr) return NoBlock(bytes.size());
    std::memcpy(memory->block_.get(), bytes.data(), bytes.size());
    memory->bytes_ = {memory->block_.get(), bytes.size()};
  }
  memory->sealed_.store(true, std::memory_order_release);
  return memory;
}

absl::StatusOr<std::shared_ptr<Buffer::Memory>> Buffer::Memory::OpenLent(base::Descriptors lease, size_t size,
                                                                         base::LentBlocks& blocks) {
  absl::StatusOr<std::shared_ptr<const base::LentBlock>> block = blocks.Find(lease.fds().front(), size);
  if (!block.ok()) return block.status();
  auto memory = std::make_shared<Memory>();
  memory->lent_block_ = *std::move(block);
  memory->lease_ = std::move(lease);
  memory->bytes_ = memory->lent_block_->bytes().first(size);
  memory->sealed_.store(true, std::memory_order_release);
  return memory;
}

std::shared_ptr<Buffer::Memory> Buffer::Memory::SealedCopy() {
  base::MutexLock lock(sealing_);
  if (sealed_copy_ != nullptr || (pool_block_ == nullptr && lent_block_ == nullptr)) return sealed_copy_;
  absl::StatusOr<std::shared_ptr<Memory>> copy = Allocate(bytes_.size());
  if (!copy.ok()) return nullptr;
  std::memcpy((*copy)->bytes_.data(), bytes_.data(), bytes_.size());
  if ((*copy)->Seal().ok()) sealed_copy_ = *std::move(copy);
  return sealed_copy_;
}

absl::Status Buffer::Memory::Seal() {
  base::MutexLock lock(sealing_);
  if (sealed()) return absl::OkStatus();
  if (fd_.valid()) {
    if (absl::Status done = mapping_.SealForGood(fd_); !done.ok()) return done;
  }
  sealed_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<Buffer> Buffer::Allocate(size_t size) {
  absl::StatusOr<std::shared_ptr<Memory>> memory = Memory::Allocate(size);
  if (!memory.ok()) return memory.status();
  return Buffer(*std::move(memory));
}

std::span<const std::byte> Buffer::bytes() const {
  return memory_ == nullptr ? std::span<const std::byte>() : std::as_const(*memory_).bytes();
}

std::span<std::byte> Buffer::mutable_bytes() {
  return memory_ == nullptr ? std::span<std::byte>() : memory_->mutable_bytes();
}

absl::Status Buffer::Seal() {
  return memory_ == nullptr ? absl::OkStatus() : memory_->Seal();
}

bool Buffer::sealed() const {
  return memory_ == nullptr || memory_->sealed();
}

}  // namespace nearcall
