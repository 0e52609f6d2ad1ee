// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/fork.h"
#include "base/limits.h"

namespace nearcall::base {

// A mapping of shared memory, unmapped at the end. Not inherited by fork()ed children (MADV_DONTFORK), where the
// destructor does nothing.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  enum class Access { kRead, kReadWrite };
  // `offset` and `size` are multiples of the page size.
  static absl::StatusOr<Mapping> Map(const Fd& fd, size_t offset, size_t size, Access access);

  // Of sealed memory (VerifySealedMemory), to be read; no page is touched. `fd` is lent; `size` need not be a multiple.
  static absl::StatusOr<Mapping> MapSealed(int fd, size_t size);
  // Of what a peer writes to from time to time (VerifyLentMemory), to be read; each page is mapped. `fd` is lent.
  static absl::StatusOr<Mapping> MapLent(int fd, size_t size);

  std::span<std::byte> bytes() const { return bytes_; }

  // The only mapping of `fd` to be written, of which it is: from now on it is to be read, at the same address, and
  // nobody can write to that memory (F_SEAL_WRITE), nor seal it further. FAILED_PRECONDITION, and nothing is changed:
  // somebody else has it mapped so, or the kernel is writing to it. No other thread uses it meanwhile.
  absl::Status SealForGood(const Fd& fd);

  // Makes sure that there is memory behind each page; RESOURCE_EXHAUSTED, and no SIGBUS, where there is none. Of memory
  // that can lose none any more (SealAgainstWriters) it is for good. Takes no lock that another process can hold.
  absl::Status Populate() const;

 private:
  static absl::StatusOr<Mapping> Own(void* address, size_t size);
  void Unmap();

  std::span<std::byte> bytes_;
  ForkGuard fork_guard_;
};

// A new anonymous file (memfd_create(2)), `size` bytes long with its memory reserved, sealed against shrinking and
// growing, and not executable. RESOURCE_EXHAUSTED if there is no memory, or `size` is more than `max_size` or
// RLIMIT_FSIZE: never a SIGBUS afterwards, and no SIGXFSZ.
absl::StatusOr<Fd> CreateSharedMemory(size_t size, size_t max_size = kMaxSharedMemorySize);

// No further writable mapping, no write, no hole from now on, by anybody (F_SEAL_FUTURE_WRITE, fcntl(2)); mappings that
// exist stay writable. And no further seal: INTERNAL if a peer that holds the descriptor did that before.
//
// Waits for the lock of the file, which whoever holds the descriptor can keep (by a write(2) of memory that is mapped
// from a file system that never answers): nothing for a server once it has passed `fd`.
absl::Status SealAgainstWriters(const Fd& fd);

// Whether the peer has done that. Waits for nobody. INTERNAL if not.
absl::Status VerifySealedAgainstWriters(const Fd& fd);

// What a receiver checks before it maps: a memfd of exactly `size` bytes that cannot change its size.
// `sealed_against_writers`: and that SealAgainstWriters has been done. INTERNAL if not.
absl::Status VerifySharedMemory(const Fd& fd, size_t size, bool sealed_against_writers);

// The same for memory that nobody writes to any more (SealForGood): of exactly `size` bytes, and all of them are there,
// as far as the kernel's count of its pages says (one that put some behind its end has lied). `fd` is lent.
absl::Status VerifySealedMemory(int fd, size_t size);

// The same for memory of which only its maker writes, and has said that he does not for now: of at least `size` bytes.
// What fstat(2) says of it. `fd` is lent.
absl::StatusOr<struct stat> VerifyLentMemory(int fd, size_t size);

// Shared memory once more, to be read: with an open file description of its own. Not valid: there is no descriptor
// left, or no /proc. `fd` is lent.
Fd OpenToRead(int fd);

size_t PageSize();

// In how many pages so many bytes stand; the last one need not be full.
inline size_t PagesIn(size_t size) {
  return (size + PageSize() - 1) / PageSize();
}

}  // namespace nearcall::base
