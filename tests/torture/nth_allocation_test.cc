// SPDX-License-Identifier: Apache-2.0

// The n-th allocation fails, for every n, anywhere in the process: in the runtime, the generated code, Abseil and
// protobuf, on any thread.
#include <execinfo.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "torture/every_nth.h"

namespace {

// Counts down to the one that fails; beyond zero when it has. Off: far away.
constexpr long kOff = 1L << 60;
std::atomic<long> allocations_left{kOff};

// Who has asked for the one that has failed, in memory that outlives the process.
struct Failed {
  std::array<void*, 40> callers;
  int count;
};
Failed* failed = nullptr;

bool Fails() {
  if (allocations_left.load(std::memory_order_relaxed) > kOff / 2) return false;
  if (allocations_left.fetch_sub(1, std::memory_order_relaxed) != 1) return false;
  if (failed != nullptr) failed->count = ::backtrace(failed->callers.data(), static_cast<int>(failed->callers.size()));
  return true;
}

void* Allocate(size_t size, size_t alignment) {
  if (Fails()) return nullptr;
  if (alignment == 0) return std::malloc(size == 0 ? 1 : size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* AllocateOrThrow(size_t size, size_t alignment = 0) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) {
  return AllocateOrThrow(size);
}
void* operator new[](size_t size) {
  return AllocateOrThrow(size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, 0);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, 0);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace nearcall::integration {
namespace {

class FailingAllocation final : public Fault {
 public:
  FailingAllocation() {
    void* memory = ::mmap(nullptr, sizeof(Failed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    failed = new (memory) Failed{};
    ::backtrace(failed->callers.data(), 1);  // loads what it needs
  }
  ~FailingAllocation() override { ::munmap(std::exchange(failed, nullptr), sizeof(Failed)); }

  absl::string_view what() const override { return "allocations"; }
  void Arm(size_t n) override { allocations_left = static_cast<long>(n); }
  bool Disarm() override { return allocations_left.exchange(kOff) <= 0; }

  std::string Describe() const override {
    char** const names = ::backtrace_symbols(failed->callers.data(), failed->count);
    std::string text = "asked for by";
    for (int i = 3; names != nullptr && i < failed->count; ++i) absl::StrAppend(&text, "\n    ", names[i]);
    std::free(names);
    return text;
  }
};

TEST_F(IntegrationTest, EveryNthAllocationFails) {
  FailingAllocation fault;
  FailEveryNth(fault);
}

}  // namespace
}  // namespace nearcall::integration
