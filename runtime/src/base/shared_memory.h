// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/fork.h"

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

  std::span<std::byte> bytes() const { return bytes_; }

  // Makes sure that there is memory behind each page; RESOURCE_EXHAUSTED, and no SIGBUS, where there is none. Of memory
  // that can lose none any more (SealAgainstWriters) it is for good. Takes no lock that another process can hold.
  absl::Status Populate() const;

 private:
  void Unmap();

  std::span<std::byte> bytes_;
  ForkGuard fork_guard_;
};

// A new anonymous file (memfd_create(2)), `size` bytes long with its memory reserved, sealed against shrinking and
// growing, and not executable. RESOURCE_EXHAUSTED if there is no memory, or `size` is more than kMaxSharedMemorySize or
// RLIMIT_FSIZE: never a SIGBUS afterwards, and no SIGXFSZ.
absl::StatusOr<Fd> CreateSharedMemory(size_t size);

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

size_t PageSize();

}  // namespace nearcall::base
