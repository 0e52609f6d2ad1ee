// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"
#include "transport/control.h"

namespace nearcall::rpc {

// What keeps a server from ending when its grace is over: handlers that do not return, Dones that are kept. Says so in
// the log, again and again; ends the process in the end, if ServerOptions::abort_after_grace says so. Thread-safe.
class StuckCalls {
 public:
  explicit StuckCalls(ServerCore& core) : core_(core) {}
  StuckCalls(const StuckCalls&) = delete;
  StuckCalls& operator=(const StuckCalls&) = delete;

  // Every connection: its calls may outlive it.
  void Add(const std::shared_ptr<session::ServerSession>& session);

  // The grace is over, and calls still run: they are cancelled, those that have outlived their clients too. More than
  // once is once.
  void Watch();

  // They have ended. Before the end of this object, unless it never watched.
  void Stop();

 private:
  void HangUpOnAll();
  void StartTimer(base::SteadyNs now);
  void OnTime();
  std::string Describe(base::SteadyNs now);
  [[noreturn]] void EndProcess(const std::string& text);

  ServerCore& core_;

  base::Mutex mutex_;
  std::vector<std::weak_ptr<session::ServerSession>> sessions_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 64;  // as many sessions: those that are gone are forgotten
  base::SteadyNs since_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<transport::Timer> timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
