// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace nearcall::base {

// The stack of a thread that runs only the runtime's own code: its deepest calls need some ten KiB, sanitizers several
// times as much.
inline constexpr size_t kOwnStack = size_t{256} << 10;

// The stacks of threads that run the user's code. Below the first not even a small message is parsed safely; the second
// is what Linux gives a thread unless somebody changes it, and the most that anybody gets without asking (RLIMIT_STACK
// may be "unlimited"); the third is more than deep recursion has any use for.
inline constexpr size_t kMinStack = size_t{64} << 10;
inline constexpr size_t kMaxDefaultStack = size_t{8} << 20;
inline constexpr size_t kMaxStack = size_t{1} << 30;

// A thread of the runtime. No signal handler of the program's runs on it: it blocks all signals but those that its own
// instructions raise, and SIGPROF, so that a profiler sees it; whatever mask its maker has, then or later. Its stack
// has the size that is asked for, and room for the program's thread-local variables besides: a program that calls
// mlockall(2) pays for all of it.
//
// Used by one thread at a time.
class Thread {
 public:
  // The stack of a thread that runs the user's code, who has asked for `size` bytes (one that does not: kOwnStack).
  // Zero: what the process gives any thread (RLIMIT_STACK, as it was when the process began), at most 8 MiB.
  static size_t StackFor(size_t size);
  // Whether the user may ask for that, in the option of this name. INVALID_ARGUMENT otherwise.
  static absl::Status CheckStack(absl::string_view option, size_t size);

  Thread() = default;
  // Neither joined nor detached before: our own bug.
  ~Thread();
  Thread(Thread&& other) noexcept : handle_(other.handle_), joinable_(std::exchange(other.joinable_, false)) {}
  Thread& operator=(Thread&& other) noexcept;

  // Runs `main` on a new thread named `name` (at most 15 characters). RESOURCE_EXHAUSTED, naming the limit that seems
  // to be in the way; then nothing has been run. Only if this object is no thread now.
  absl::Status Start(const char* name, size_t stack_size, std::function<void()> main);

  bool joinable() const { return joinable_; }
  // Whether the caller is this thread.
  bool IsCurrent() const { return joinable_ && ::pthread_equal(handle_, ::pthread_self()) != 0; }

  // Not by the thread itself.
  void Join();
  void Detach();

 private:
  pthread_t handle_{};
  bool joinable_ = false;
};

// As long as it lives pthread_cancel(3) does not end this thread, but waits: whoever unwinds the runtime in the middle
// of something leaves what others wait for. For whatever the user calls that may block.
class CancelDisabled {
 public:
  CancelDisabled() { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~CancelDisabled() { ::pthread_setcancelstate(before_, nullptr); }
  CancelDisabled(const CancelDisabled&) = delete;
  CancelDisabled& operator=(const CancelDisabled&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace nearcall::base
