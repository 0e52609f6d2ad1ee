// SPDX-License-Identifier: Apache-2.0
#include "base/warm_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "base/fork.h"
#include "base/limits.h"
#include "base/memory_sanitizer.h"
#include "base/reactor.h"

namespace nearcall::base {

namespace {

using Block = WarmMemory::Block;

// So that messages of about the same size fit the same block.
constexpr size_t kGranule = WarmMemory::kMinBlock;

// A size near the largest there is stays as it is: nobody gets that.
size_t RoundedUp(size_t size) {
  const size_t missing = (kGranule - size % kGranule) % kGranule;
  return std::numeric_limits<size_t>::max() - size < missing ? size : size + missing;
}

void Free(Block block) {
  if (block.data == nullptr) return;
  Unpoison(block.data, block.size);
  ::operator delete[](block.data);
}

// What is kept, and first what was used longest ago.
class Kept {
 public:
  size_t bytes() const { return bytes_; }

  // The smallest that does. A much larger one is left: who asks for little and pays for little holds little.
  Block Take(size_t size) {
    size_t best = count_;
    for (size_t i = 0; i < count_; ++i) {
      const size_t there = items_[i].block.size;
      if (there < size || there - size > size / 4 + kGranule) continue;
      if (best == count_ || there <= items_[best].block.size) best = i;
    }
    return best == count_ ? Block() : Remove(best);
  }

  bool HasRoomFor(size_t size) const { return count_ < kMost && bytes_ + size <= kMaxWarmBytes; }
  void Add(Block block, SteadyNs now) {
    items_[count_++] = {block, now};
    bytes_ += block.size;
  }
  // Empty: there is none.
  Block RemoveOldest(SteadyNs before = kNever) { return count_ == 0 || items_[0].used > before ? Block() : Remove(0); }

 private:
  static constexpr size_t kMost = 32;

  struct Item {
    Block block;
    SteadyNs used;
  };

  Block Remove(size_t index) {
    const Block block = items_[index].block;
    std::move(items_.begin() + index + 1, items_.begin() + count_, items_.begin() + index);
    --count_;
    bytes_ -= block.size;
    return block;
  }

  std::array<Item, kMost> items_;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

struct Shared {
  Kept kept;
  std::vector<std::weak_ptr<Reactor>> caring;

  // Any of those that are still there.
  std::shared_ptr<Reactor> Caring() {
    std::erase_if(caring, [](const std::weak_ptr<Reactor>& reactor) { return reactor.expired(); });
    return caring.empty() ? nullptr : caring.front().lock();
  }
};

// No mutex: a child that was forked while a thread of its parent had it must not wait for that.
class Use {
 public:
  Use() : has_(TryHave()) {}
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    if (has_) holder.store(kNobody, std::memory_order_release);
  }

  // A thread of the parent had it when this process was forked, and has it for ever.
  static bool IsLost() {
    const uint64_t held_in = holder.load(std::memory_order_relaxed);
    return held_in != kNobody && held_in != ForkGeneration();
  }

  explicit operator bool() const { return has_; }
  Shared* operator->() const {
    static Shared& shared = *new Shared;  // outlives whoever gives something back while the program ends
    return &shared;
  }

 private:
  static constexpr uint64_t kNobody = std::numeric_limits<uint64_t>::max();

  static bool TryHave() {
    uint64_t nobody = kNobody;
    return holder.compare_exchange_strong(nobody, ForkGeneration(), std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }

  static inline std::atomic<uint64_t> holder = kNobody;  // the fork generation in which it was taken
  const bool has_;
};

// Whether Care() is going to be called.
std::atomic<bool> timer_is_set = false;

// Owned by the timer, whose reactor may end without it.
struct TimerSet {
  ~TimerSet() { timer_is_set.store(false, std::memory_order_release); }
};

void Care();

void SetTimer(const std::shared_ptr<Reactor>& reactor) try {
  if (reactor == nullptr || timer_is_set.exchange(true, std::memory_order_acquire)) return;
  std::shared_ptr<TimerSet> set(new (std::nothrow) TimerSet);
  if (set == nullptr) return timer_is_set.store(false, std::memory_order_release);
  reactor->AddTimer(AddNs(NowNs(), kWarmNs), [set]() mutable {
    set.reset();
    Care();
  });
} catch (const std::bad_alloc&) {
  // Whoever gives something next tries again.
}

// Gives back what was last used before `until`. Who cares for what is left, if anything is.
std::shared_ptr<Reactor> GiveBack(SteadyNs until) {
  for (;;) {
    Block old;
    if (const Use use; use) {
      old = use->kept.RemoveOldest(until);
      if (old.data == nullptr) return use->kept.bytes() == 0 ? nullptr : use->Caring();
    } else if (Use::IsLost()) {
      return nullptr;
    } else {
      std::this_thread::yield();  // whoever has it does not wait for anything
    }
    Free(old);
  }
}

void Care() {
  SetTimer(GiveBack(NowNs() - kWarmNs));
}

}  // namespace

Block WarmMemory::TryTake(size_t size) {
  if (const Use use; use) {
    if (const Block kept = use->kept.Take(size); kept.data != nullptr) {
      Unpoison(kept.data, kept.size);
      return kept;
    }
  }
  const size_t rounded = RoundedUp(size);
  return {static_cast<std::byte*>(::operator new[](rounded, std::nothrow)), rounded};
}

void WarmMemory::Give(Block block) noexcept {
  std::array<Block, 4> replaced;
  size_t count = 0;
  std::shared_ptr<Reactor> reactor;
  if (const Use use; use && block.size <= kMaxWarmBytes) {
    Kept& kept = use->kept;
    while (!kept.HasRoomFor(block.size) && count < replaced.size()) replaced[count++] = kept.RemoveOldest();
    if (kept.HasRoomFor(block.size)) {
      Poison(block.data, block.size);
      kept.Add(std::exchange(block, {}), NowNs());
      if (!timer_is_set.load(std::memory_order_relaxed)) reactor = use->Caring();
    }
  }
  for (const Block& old : replaced) Free(old);
  Free(block);
  SetTimer(reactor);
}

size_t WarmMemory::bytes_kept() {
  const Use use;
  return use ? use->kept.bytes() : 0;
}

void WarmMemory::CareWith(const std::shared_ptr<Reactor>& reactor) try {
  if (const Use use; use) use->caring.push_back(reactor);
} catch (const std::bad_alloc&) {
  // Then another one does, or nobody: it stays within its bound.
}

void WarmMemory::GiveBackOlderThan(SteadyNs until) {
  static_cast<void>(GiveBack(until));
}

}  // namespace nearcall::base
