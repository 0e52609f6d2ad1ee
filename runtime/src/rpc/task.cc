// SPDX-License-Identifier: Apache-2.0
#include "nearcall/task.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/clock.h"
#include "base/waiter.h"

namespace nearcall::internal {

// SUBTLE: nothing here is inline. A compiler takes it that a coroutine stays on its thread, and would look for that
// thread's loop only once.
class RunLoop {
 public:
  RunLoop() : outer_(std::exchange(innermost, this)) {}
  ~RunLoop() {
    while (first_ != nullptr) {
      Continuation& next = *first_;
      first_ = next.next_;
      if (first_ == nullptr) last_ = &first_;
      Run(next);
    }
    innermost = outer_;
  }
  RunLoop(const RunLoop&) = delete;
  RunLoop& operator=(const RunLoop&) = delete;

  static RunLoop* Innermost() { return innermost; }

  static void Run(Continuation& continuation) { continuation.run_(continuation); }

  void Add(Continuation& continuation) {
    continuation.next_ = nullptr;
    *last_ = &continuation;
    last_ = &continuation.next_;
  }

 private:
  static thread_local RunLoop* innermost;

  RunLoop* const outer_;
  Continuation* first_ = nullptr;
  Continuation** last_ = &first_;
};

constinit thread_local RunLoop* RunLoop::innermost = nullptr;

void RunLater(Continuation& continuation) noexcept {
  RunLoop* const loop = RunLoop::Innermost();
  if (loop == nullptr) return RunNow(continuation);
  loop->Add(continuation);
}

void RunNow(Continuation& continuation) noexcept {
  const RunLoop loop;
  RunLoop::Run(continuation);
}

void Resume(std::coroutine_handle<> coroutine) noexcept {
  const RunLoop loop;
  coroutine.resume();
}

void RunAndWait(Continuation& first, Continuation*& sequel) noexcept {
  struct Last final : Continuation {
    Last() : Continuation([](Continuation& self) { static_cast<Last&>(self).waiter.Finish(); }) {}
    base::Waiter waiter;
  };
  Last last;
  sequel = &last;
  RunNow(first);
  while (!last.waiter.finished()) last.waiter.Wait(base::kNever);
}

void Require(bool kept, const char* rule) noexcept {
  if (kept) return;
  std::fprintf(stderr, "nearcall: a coroutine breaks a rule: %s\n", rule);
  std::abort();
}

}  // namespace nearcall::internal
