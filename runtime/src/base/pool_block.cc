// SPDX-License-Identifier: Apache-2.0
#include "base/pool_block.h"

#include <fcntl.h>

#include <utility>

#include "base/limits.h"
#include "base/proc_path.h"

namespace nearcall::base {

namespace {

struct flock WholeFile(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PoolBlock>> PoolBlock::Create(size_t size) {
  if (!HasProc()) return absl::UnimplementedError("memory cannot be lent: /proc/self/fd is not there");
  absl::StatusOr<Fd> fd = CreateSharedMemory(size, kMaxAttachmentBytes);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<Mapping> mapping = Mapping::Map(*fd, 0, size, Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  if (absl::Status sealed = SealAgainstWriters(*fd); !sealed.ok()) return sealed;
  return std::unique_ptr<PoolBlock>(new PoolBlock(*std::move(fd), *std::move(mapping)));
}

Fd PoolBlock::Lease() const {
  Fd lease = OpenToRead(fd_.get());
  struct flock lock = WholeFile(F_RDLCK);
  if (lease.valid() && ::fcntl(lease.get(), F_OFD_SETLK, &lock) != 0) lease.Reset();
  return lease;
}

bool PoolBlock::idle() const {
  struct flock lock = WholeFile(F_WRLCK);
  return ::fcntl(fd_.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

}  // namespace nearcall::base
