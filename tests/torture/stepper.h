// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>

namespace nearcall::integration {

// A child process of which one part is run instruction by instruction (ptrace), so that it can be killed at each
// boundary between two of them. Used by one thread, which must also be the one that made it.
class SteppedProcess {
 public:
  // Runs what is to be stepped through; what comes before and after runs as usual.
  class Marker {
   public:
    void Begin() const;
    void End() const;
  };
  using Body = std::function<void(const Marker& marker)>;

  explicit SteppedProcess(const Body& body);
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;
  ~SteppedProcess() { Kill(); }

  // Lets it run to Begin(). False if it ends before.
  bool RunToBegin();

  // Up to `count` instructions of its main thread, a system call being one. Returns how many there were before End();
  // less than `count` only if it came there.
  size_t Step(size_t count);

  void Kill();

 private:
  // The signal that has stopped it; 0 if it has ended.
  int WaitForStop();

  pid_t pid_ = -1;
};

}  // namespace nearcall::integration
