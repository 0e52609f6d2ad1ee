// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace nearcall::transport::shm {

// From this size streaming pays: below, the reader finds the lines sooner in the writer's cache than in memory.
inline constexpr size_t kStreamingMin = size_t{4} << 10;

// Copies past the cache (non-temporal stores), where the processor has that: what another core reads next is better not
// left dirty in this one's cache. Complete, for release stores too, on return. `to` is as long as `from`.
void StreamingCopy(std::span<std::byte> to, std::span<const std::byte> from);

}  // namespace nearcall::transport::shm
