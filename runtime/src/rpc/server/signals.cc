// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/fork.h"
#include "base/syscall.h"

namespace nearcall::rpc {

namespace {

// What the handler writes to; -1: nobody wants to know.
std::atomic<int> event_fd{-1};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

// Whose signals they are.
std::atomic<uint64_t> generation{0};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "used in a signal handler");

// Only what signal-safety(7) allows.
void OnSignal(int number) {
  const int saved = errno;
  if (generation.load(std::memory_order_relaxed) != base::ForkGeneration()) {
    // It shares the descriptor with its parent.
    ::signal(number, SIG_DFL);
    ::raise(number);
    return;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_fd.load(std::memory_order_relaxed), &one, sizeof(one));
  errno = saved;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Signals>> Signals::Catch() {
  std::unique_ptr<Signals> signals(new Signals);
  base::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return base::ErrnoStatus("cannot handle signals (eventfd)");
  int nobody = -1;
  if (!event_fd.compare_exchange_strong(nobody, event.get())) {
    return absl::FailedPreconditionError("another server of this process handles signals already");
  }
  signals->event_ = std::move(event);
  generation.store(base::ForkGeneration());
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &signals->old_int_);
  ::sigaction(SIGTERM, &action, &signals->old_term_);
  return signals;
}

uint64_t Signals::Count() {
  uint64_t news = 0;
  if (::read(event_.get(), &news, sizeof(news)) == sizeof(news)) count_ += news;
  return count_;
}

Signals::~Signals() {
  if (!event_.valid()) return;
  ::sigaction(SIGINT, &old_int_, nullptr);
  ::sigaction(SIGTERM, &old_term_, nullptr);
  event_fd.store(-1);
}

}  // namespace nearcall::rpc
