// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "support/lines.h"

namespace nearcall::testing {

// A program that this one starts with fork and exec, so that none of our threads, locks and descriptors is in it. Its
// standard input and output are connected to us: both sides talk in lines. A child that reads until its input ends
// never outlives us, however we end.
//
// Used by one thread. Kills the program at the end if it still runs.
class Process {
 public:
  Process(const std::string& program, const std::vector<std::string>& arguments);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process() { Kill(); }

  pid_t pid() const { return pid_; }

  // What it says next, without the end of the line; empty when it has closed its output.
  std::string ReadLine();

  void WriteLine(const std::string& line);

  // As a crash ends it: nothing of its own runs.
  void Kill();
  // The same without waiting until it is gone: what comes after is to see the death, not the funeral.
  void StartKill();

  // Ends its input and waits for its exit code; -1 if a signal ended it.
  int End();

  // This program's own file.
  static std::string Self();

 private:
  pid_t pid_;
  base::Fd input_;
  base::Fd output_;
  LineReader lines_;
};

}  // namespace nearcall::testing
