// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

namespace search {

// Turns the first SIGINT or SIGTERM into a stop request: calls that have its token (CallOptions::stop_token) end with
// CANCELLED, and the program goes on to its orderly end. A second signal ends the process, as it would without this.
//
// The program's other threads block these signals (those of Nearcall do) or are made while this lives.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  std::stop_token token() const { return stop_.get_token(); }

  // The signal that has come; 0: none.
  int signal() const { return signal_; }

 private:
  void Wait();

  sigset_t signals_;
  sigset_t old_mask_;
  std::stop_source stop_;
  std::atomic<int> signal_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace search
