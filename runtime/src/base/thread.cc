// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/no_memory.h"
#include "base/syscall.h"

namespace nearcall::base {

namespace {

struct Beginning {
  const char* name;
  std::function<void()> main;
};

// Not noexcept: whoever ends the thread by pthread_exit(3) unwinds through here.
void* Main(void* argument) {
  const std::unique_ptr<Beginning> beginning(static_cast<Beginning*>(argument));
  ::pthread_setname_np(::pthread_self(), beginning->name);
  // The user's code on it may end it by pthread_exit(3); nobody else ends it in the middle of something.
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  beginning->main();
  return nullptr;
}

sigset_t SignalsBlocked() {
  sigset_t blocked;
  ::sigfillset(&blocked);
  // What an instruction of the thread itself raises cannot wait: blocked, it ends the process without its handler. And
  // profilers count with SIGPROF.
  for (const int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF})
    ::sigdelset(&blocked, open);
  return blocked;
}

// The C library takes the thread-local variables of the program and its libraries out of the stack.
size_t ThreadLocalSize() {
  static const size_t size = [] {
    size_t sum = 0;
    const auto add = [](dl_phdr_info* object, size_t, void* total) {
      for (size_t i = 0; i < object->dlpi_phnum; ++i) {
        const auto& part = object->dlpi_phdr[i];
        if (part.p_type == PT_TLS) *static_cast<size_t*>(total) += part.p_memsz + part.p_align;
      }
      return 0;
    };
    ::dl_iterate_phdr(add, &sum);
    return sum;
  }();
  return size;
}

size_t RoundUp(size_t size, size_t unit) {
  return (size + unit - 1) / unit * unit;
}

// Why there is no thread. The C library says EAGAIN whatever the reason is; the kernel, asked for the stack alone,
// tells.
absl::Status WhyNot(const char* name, int error, size_t stack_size) {
  const std::string what = absl::StrCat("cannot start a thread (", name, ")");
  void* const stack = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack != MAP_FAILED) {
    ::munmap(stack, stack_size);
    return absl::ResourceExhaustedError(absl::StrCat(ErrnoStatus(error, what).message(),
                                                     "; look at RLIMIT_NPROC (ulimit -u) and the control group's "
                                                     "pids.max"));
  }
  // mmap(2): "too much memory has been locked".
  const bool locked = errno == EAGAIN;
  rlimit limit{};
  ::getrlimit(locked ? RLIMIT_MEMLOCK : RLIMIT_AS, &limit);
  return absl::ResourceExhaustedError(absl::StrCat(
      what, ": no memory for its stack of ", stack_size, " B",
      locked ? ", which mlockall(2) locks: RLIMIT_MEMLOCK is " : "; RLIMIT_AS is ",
      limit.rlim_cur == RLIM_INFINITY ? std::string("unlimited") : absl::StrCat(limit.rlim_cur, " B"),
      locked ? "; raise it (ulimit -l), or ask for smaller stacks (handler_stack_size, callback_stack_size)" : ""));
}

}  // namespace

size_t Thread::StackFor(size_t size) {
  if (size != 0) return size;
  pthread_attr_t attributes;
  size_t usual = 0;
  if (::pthread_attr_init(&attributes) != 0) return kMaxDefaultStack;
  ::pthread_attr_getstacksize(&attributes, &usual);
  ::pthread_attr_destroy(&attributes);
  return std::clamp(usual, kMinStack, kMaxDefaultStack);
}

absl::Status Thread::CheckStack(absl::string_view option, size_t size) {
  if (size == 0 || (size >= kMinStack && size <= kMaxStack)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " is ", size, ", allowed are 0 and ", kMinStack, " to ", kMaxStack));
}

Thread::~Thread() {
  NEARCALL_CHECK(!joinable_);
}

Thread& Thread::operator=(Thread&& other) noexcept {
  NEARCALL_CHECK(!joinable_);
  handle_ = other.handle_;
  joinable_ = std::exchange(other.joinable_, false);
  return *this;
}

absl::Status Thread::Start(const char* name, size_t stack_size, std::function<void()> main) {
  NEARCALL_CHECK(!joinable_);
  return OrNoMemory([&] {
    auto beginning = std::make_unique<Beginning>(Beginning{.name = name, .main = std::move(main)});
    const size_t size = RoundUp(stack_size + ThreadLocalSize(), size_t{4} << 10);
    pthread_attr_t attributes;
    int error = ::pthread_attr_init(&attributes);
    if (error != 0) return ErrnoStatus(error, "cannot start a thread");
    ::pthread_attr_setstacksize(&attributes, size);
    // A thread begins with the mask of its maker.
    const sigset_t blocked = SignalsBlocked();
    sigset_t before;
    ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
    error = ::pthread_create(&handle_, &attributes, &Main, beginning.get());
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    if (error != 0) return WhyNot(name, error, size);
    static_cast<void>(beginning.release());  // the thread's now
    joinable_ = true;
    return absl::OkStatus();
  });
}

void Thread::Join() {
  NEARCALL_CHECK(std::exchange(joinable_, false));
  NEARCALL_CHECK(::pthread_join(handle_, nullptr) == 0);  // EDEADLK: by itself
}

void Thread::Detach() {
  NEARCALL_CHECK(std::exchange(joinable_, false));
  ::pthread_detach(handle_);
}

}  // namespace nearcall::base
