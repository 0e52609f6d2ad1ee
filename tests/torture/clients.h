// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "echo.nearcall.pb.h"

namespace nearcall::integration {

// Threads that connect to the server under test, wherever it is in its life, and have blocking and asynchronous calls
// in flight there until they fail; then they connect again.
class Clients {
 public:
  struct Call {
    base::SteadyNs begun = 0;
    base::SteadyNs ended = 0;
    absl::Status status;
    size_t ends = 0;  // how often it has ended
  };

  explicit Clients(size_t threads);
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;
  ~Clients() { Finish(); }

  // Begins nothing any more, and waits until all has ended.
  void Finish();

  // After Finish().
  const std::vector<Call>& calls() const { return calls_; }
  const std::vector<absl::Status>& connects() const { return connects_; }

 private:
  using CallPtr = std::shared_ptr<Call>;

  void Run();
  void CallUntilFailure(const std::shared_ptr<Channel>& channel, std::vector<CallPtr>& calls);
  CallPtr StartAsync(const Echo::AsyncStub& stub, size_t kind);
  void End(Call& call, absl::Status status);
  bool WaitForAll(const std::vector<CallPtr>& calls);

  std::atomic<bool> finishing_{false};
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> connects_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace nearcall::integration
