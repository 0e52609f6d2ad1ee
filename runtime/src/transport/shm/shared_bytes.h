// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

// The only way out for bytes that another process may write at any time.
namespace nearcall::transport::shm {

// Copies them to private memory, once: what is checked of the copy is what is used.
//
// SUBTLE: for the compiler nobody else writes, and the copy is as good as its source. Where it sees both sides
// (inlined, or at link time) it reads the source a second time if that is cheaper; g++ 12 does. It must not after the
// barrier, which may have changed everything that `to` can reach.
inline void CopyOutOfShared(std::span<std::byte> to, const std::byte* from) {
  if (to.empty()) return;
  std::memcpy(to.data(), from, to.size());
  asm volatile("" : : "r"(to.data()) : "memory");
}

}  // namespace nearcall::transport::shm
