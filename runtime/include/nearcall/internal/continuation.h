// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>

#include "nearcall/export.h"

// Used by nearcall/task.h and generated code; not for programs to use by hand.
namespace nearcall::internal {

// What a thread goes on with when the coroutine that runs there has suspended or ended. It lives in the coroutine that
// it is about, so that waiting in line allocates nothing, and is gone as soon as it has begun to run.
class Continuation {
 public:
  using Run = void (*)(Continuation& continuation);

  explicit Continuation(Run run) : run_(run) {}
  Continuation(const Continuation&) = delete;
  Continuation& operator=(const Continuation&) = delete;

 private:
  friend class RunLoop;

  const Run run_;
  Continuation* next_ = nullptr;
};

// Coroutines do not call each other, or a long chain of them would be as long a stack (compilers turn that into jumps
// only where they optimise, if at all: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=100897). Each thread has a line of
// what is to be run, and the function at the bottom of its stack that runs the line.
//
// When what runs on this thread returns; at once, if nothing does.
NEARCALL_EXPORT void RunLater(Continuation& continuation) noexcept;

// At once, and what it leaves in line before this returns.
NEARCALL_EXPORT void RunNow(Continuation& continuation) noexcept;
NEARCALL_EXPORT void Resume(std::coroutine_handle<> coroutine) noexcept;

// The same, and then waits until `sequel`, which this sets, has been run.
NEARCALL_EXPORT void RunAndWait(Continuation& first, Continuation*& sequel) noexcept;

// Ends the process and says why, unless the program has kept to `rule`.
NEARCALL_EXPORT void Require(bool kept, const char* rule) noexcept;

}  // namespace nearcall::internal
