// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/fd.h"
#include "support/lines.h"

namespace nearcall::bench {

// A process forked from this one, which must have a single thread, that runs a function. Its standard input and output
// are connected to us: both sides talk in lines. It dies with us, however we end.
//
// Used by one thread. At the end its input ends, and it is waited for; after a minute it is killed.
class Worker {
 public:
  explicit Worker(const std::function<void()>& body);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  pid_t pid() const { return pid_; }

  // What it says next, without the end of the line; empty when it has ended. One that says nothing for a minute ends
  // this program.
  std::string ReadLine();
  void WriteLine(const std::string& line);

  // Sends SIGKILL, and does not wait.
  void StartKill();

 private:
  pid_t pid_;
  base::Fd talk_;
  testing::LineReader lines_;
};

// The end of this program, and of its workers with it.
[[noreturn]] void Die(const std::string& why);

}  // namespace nearcall::bench
