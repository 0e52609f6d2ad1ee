// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "echo.nearcall.pb.h"

namespace nearcall::integration {

// Many threads on one channel, each in one call after the other until one fails. A quarter each: a call that the server
// does not answer (MayBlock), a small one, one of several frames, and an urgent one.
class Callers {
 public:
  Callers(const Echo::Stub& stub, size_t count);
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;
  ~Callers() { Join(); }

  // Until every thread is in a call, those that get answers not for the first time, and `more` answers have come after
  // that. False after a long time.
  bool WaitUntilBusy(size_t more);

  // Until every thread has seen its failure.
  void Join();

  // After Join(): how each thread ended, and when.
  struct End {
    absl::Status status;
    base::SteadyNs at = 0;
  };
  std::vector<End> Ends() const;

 private:
  struct Caller {
    std::atomic<bool> begun{false};
    std::atomic<size_t> answers{0};
    End end;
    std::thread thread;
  };

  void Run(const Echo::Stub& stub, size_t index);
  bool AllBusy() const;
  size_t Answers() const;

  std::vector<std::unique_ptr<Caller>> callers_;
};

}  // namespace nearcall::integration
