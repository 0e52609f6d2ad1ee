// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>

namespace nearcall::grpc {

// One operation of gRPC's after the other, for which a coroutine waits, one at a time:
//
//   StartRead(&buffer_);
//   const bool ok = co_await read_;        // and before that: read_.Prepare()
//
// gRPC may end the operation before it is awaited, or on another thread while it is. The coroutine goes on on the
// thread on which it ends.
class Step {
 public:
  Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  // Before the operation begins.
  void Prepare() { state_.store(kBegun, std::memory_order_relaxed); }

  // The operation has ended. The last thing that its caller does: whoever waits may destroy everything.
  void End(bool ok) {
    ok_ = ok;
    // Pairs with the acquire in await_ready() and await_suspend(): who goes on sees ok_, and this thread waiting_.
    if (state_.exchange(kEnded, std::memory_order_acq_rel) == kAwaited) waiting_.resume();
  }

  auto operator co_await() { return Awaiter{*this}; }

 private:
  struct Awaiter {
    bool await_ready() const { return step.state_.load(std::memory_order_acquire) == kEnded; }
    // SUBTLE: not inline; the coroutine may be gone when this returns (see nearcall/task.h).
    [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> coroutine) const {
      step.waiting_ = coroutine;
      int begun = kBegun;
      return step.state_.compare_exchange_strong(begun, kAwaited, std::memory_order_acq_rel);
    }
    bool await_resume() const { return step.ok_; }

    Step& step;
  };

  enum : int { kBegun, kAwaited, kEnded };

  std::atomic<int> state_{kBegun};
  bool ok_ = false;
  std::coroutine_handle<> waiting_;
};

}  // namespace nearcall::grpc
