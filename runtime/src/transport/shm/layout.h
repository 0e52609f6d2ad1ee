// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/limits.h"
#include "base/shared_memory.h"
#include "transport/shm/shared_word.h"

// What the shared memory of one connection looks like; runtime/PROTOCOL.md describes it to the byte.
//
//   region C, written by the client:  | control page | ring | bell page |
//   region S, written by the server:  | control page | ring |
namespace nearcall::transport::shm {

// The first page of a region: what its writer tells the other side. Each word on a line of its own (128 bytes: adjacent
// lines are fetched in pairs), because each is read and written at other times.
//
//   0 tail   128 head   256 interest   264 cpu
struct ControlPage {
  // Bytes ever written to the ring of this region, records and padding.
  alignas(128) std::atomic<uint64_t> tail;
  // Bytes ever consumed from the ring of the other region.
  alignas(128) std::atomic<uint64_t> head;
  // What this side sleeps for: see InterestWord.
  alignas(128) std::atomic<uint64_t> interest;
  // Where this side runs, for those who think of spinning; -1: asleep, or never said.
  std::atomic<int32_t> cpu;
};
static_assert(offsetof(ControlPage, tail) == 0);
static_assert(offsetof(ControlPage, head) == 128);
static_assert(offsetof(ControlPage, interest) == 256);
static_assert(offsetof(ControlPage, cpu) == 264);
static_assert(sizeof(ControlPage) == 384);
static_assert(std::is_standard_layout_v<ControlPage> && std::is_trivially_destructible_v<ControlPage>);

// The low two bits are the set of Transport::Interest that the side sleeps for, 0 while it is awake. The rest counts
// its sleeps, so that the other side rings once for each, and not for each frame.
constexpr uint64_t InterestWord(uint64_t sleeps, uint32_t interest) {
  return sleeps << 2 | interest;
}

// What follows the ring begins a page, so a ring fills pages, whatever size they have here.
inline uint64_t MinRingSize(size_t page_size = base::PageSize()) {
  return std::max<uint64_t>(base::kMinRingSize, page_size);
}
inline bool IsRingSize(uint64_t size, size_t page_size = base::PageSize()) {
  return size >= MinRingSize(page_size) && size <= base::kMaxRingSize && (size & (size - 1)) == 0;
}

// The bell page holds the word of a base::Semaphore at its start.
inline size_t RingOffset() {
  return base::PageSize();
}
inline size_t BellOffset(size_t ring_size) {
  return RingOffset() + ring_size;
}
inline size_t ClientRegionSize(size_t ring_size) {
  return BellOffset(ring_size) + base::PageSize();
}
inline size_t ServerRegionSize(size_t ring_size) {
  return RingOffset() + ring_size;
}

}  // namespace nearcall::transport::shm
