// SPDX-License-Identifier: Apache-2.0
#pragma once

// Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

// What is run when it is worth while to look again at a call that had nothing yet. It lives in whoever waits (a
// suspended coroutine), so that waiting allocates nothing, and is gone as soon as it has begun to run.
class Operation {
 public:
  using Function = void (*)(Operation& operation);

  explicit Operation(Function function) : function_(function) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Once for each time that it was left with somebody.
  void Run() { function_(*this); }

 private:
  const Function function_;
};

// What came of looking: it was done; there is nothing yet; there will never be.
enum class Tried { kDone, kNotYet, kOver };

}  // namespace nearcall::internal
