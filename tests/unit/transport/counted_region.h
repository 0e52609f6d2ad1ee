// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "base/limits.h"
#include "support/sanitizers.h"
#include "transport/shm/layout.h"

namespace nearcall::transport::shm {

// The peer's control page and ring. Each access faults, is counted, is let through for one instruction.
class CountedRegion {
 public:
  static constexpr size_t kRing = base::kMinRingSize;

  // Why reads cannot be counted here; nullptr if they can.
  static const char* WhyNot() {
#if !defined(__x86_64__)
    return "NOT TESTED: single steps of this processor";
#endif
    return nearcall::testing::kSanitizers ? "NOT TESTED: a sanitizer reads on its own" : nullptr;
  }

  CountedRegion() : size_(RingOffset() + kRing) {
    void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin_ = static_cast<std::byte*>(memory);
  }
  ~CountedRegion() {
    ::munmap(begin_, size_);
  }
  CountedRegion(const CountedRegion&) = delete;

  ControlPage& page() const {
    return *reinterpret_cast<ControlPage*>(begin_);
  }
  std::span<std::byte> ring() const {
    return {begin_ + RingOffset(), kRing};
  }
  uint64_t& record() const {
    return *reinterpret_cast<uint64_t*>(ring().data());
  }

  // Counts from zero what `body` reads.
  template <typename Body>
  void Watch(const Body& body) {
    reads_.fill(0);
    watched_ = this;
    struct sigaction on_fault {};
    on_fault.sa_flags = SA_SIGINFO;
    on_fault.sa_sigaction = &OnFault;
    struct sigaction on_step = on_fault;
    on_step.sa_sigaction = &OnStep;
    struct sigaction before[2];
    ::sigaction(SIGSEGV, &on_fault, &before[0]);
    ::sigaction(SIGTRAP, &on_step, &before[1]);
    ::mprotect(begin_, size_, PROT_NONE);
    body();
    ::mprotect(begin_, size_, PROT_READ | PROT_WRITE);
    ::sigaction(SIGSEGV, &before[0], nullptr);
    ::sigaction(SIGTRAP, &before[1], nullptr);
  }

  // Called after each read that Watch() counts, when the peer may write something else.
  void OnRead(std::function<void()> change) {
    on_read_ = std::move(change);
  }

  int Reads(const void* word) const {
    return reads_[static_cast<size_t>(IndexOf(word))];
  }

 private:
  ptrdiff_t IndexOf(const void* word) const {
    return (static_cast<const std::byte*>(word) - begin_) / 8;
  }

  static void OnFault(int, siginfo_t* info, void* context) {
    const ptrdiff_t index = watched_->IndexOf(info->si_addr);
    if (index < 0 || index >= static_cast<ptrdiff_t>(watched_->reads_.size())) {
      ::signal(SIGSEGV, SIG_DFL);  // not ours: it faults again
      return;
    }
    ++watched_->reads_[static_cast<size_t>(index)];
    ::mprotect(watched_->begin_, watched_->size_, PROT_READ | PROT_WRITE);
    SetSingleStep(context, true);
  }

  static void OnStep(int, siginfo_t*, void* context) {
    if (watched_->on_read_) watched_->on_read_();
    ::mprotect(watched_->begin_, watched_->size_, PROT_NONE);
    SetSingleStep(context, false);
  }

  static void SetSingleStep([[maybe_unused]] void* context, [[maybe_unused]] bool on) {
#if defined(__x86_64__)
    constexpr greg_t kTrapFlag = 0x100;
    greg_t& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
    flags = on ? flags | kTrapFlag : flags & ~kTrapFlag;
#endif
  }

  static inline CountedRegion* watched_ = nullptr;

  const size_t size_;
  std::byte* begin_;
  std::array<int, 1024> reads_{};
  std::function<void()> on_read_;
};

}  // namespace nearcall::transport::shm
