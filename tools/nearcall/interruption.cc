// SPDX-License-Identifier: Apache-2.0
#include "interruption.h"

#include <signal.h>

#include <utility>

#include "absl/time/clock.h"

namespace nearcall::tools {

namespace {

// How soon it hears that it is over.
constexpr timespec kLook = {.tv_sec = 0, .tv_nsec = 20'000'000};

sigset_t Signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interruption::Interruption(absl::Time begin_by, std::function<void()> end) : begin_by_(begin_by), end_(std::move(end)) {
  const sigset_t signals = Signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

Interruption::~Interruption() {
  over_ = true;
  thread_.join();
  const sigset_t signals = Signals();
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void Interruption::Watch() {
  const sigset_t signals = Signals();
  while (!over_) {
    if (::sigtimedwait(&signals, nullptr, &kLook) > 0) {
      by_user_ = true;
      return end_();
    }
    if (!begun_ && absl::Now() >= begin_by_) {
      too_late_ = true;
      return end_();
    }
  }
}

}  // namespace nearcall::tools
