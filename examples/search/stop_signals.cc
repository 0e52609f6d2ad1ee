// SPDX-License-Identifier: Apache-2.0
#include "stop_signals.h"

#include <pthread.h>

namespace search {

StopSignals::StopSignals() {
  ::sigemptyset(&signals_);
  ::sigaddset(&signals_, SIGINT);
  ::sigaddset(&signals_, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &old_mask_);
  thread_ = std::thread([this] { Wait(); });
}

StopSignals::~StopSignals() {
  over_ = true;
  ::pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
  ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

// A thread that waits for signals may do what a signal handler may not: take locks, run stop callbacks.
void StopSignals::Wait() {
  int signal = 0;
  while (::sigwait(&signals_, &signal) == 0 && !over_) {
    if (signal_ != 0) {
      ::pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
      ::raise(signal);
    }
    signal_ = signal;
    stop_.request_stop();
  }
}

}  // namespace search
