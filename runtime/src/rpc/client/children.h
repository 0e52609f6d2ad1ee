// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "nearcall/channel.h"
#include "transport/child.h"

namespace nearcall::rpc {

// What a channel with these options starts.
transport::Program ProgramOf(const std::string& path, const ExecOptions& options);

// The children of a channel that starts its server (an `exec:` address): one at a time serves, others may still be
// about to end. When the next one may be started; and that none outlives the channel.
//
// Thread-safe. Owned by the connector.
class Children {
 public:
  // `reactor`: of the user's event queue; may be null.
  Children(const std::string& path, const ExecOptions& options, base::Reactor* reactor);
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;
  // Waits until all have ended; but not in a turn of the event queue, which goes on with them.
  ~Children();

  // UNAVAILABLE: not now, as they have ended too often.
  absl::Status CheckMayStart() const;
  // When the next may be started, once CheckMayStart() has said yes: soon, if the last one has not lived long.
  base::SteadyNs NextStart();
  absl::StatusOr<transport::StartedServer> Start();

  std::string DebugString() const;

 private:
  size_t StartsSince(base::SteadyNs when) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string LastFate() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::ForkGuard fork_guard_;
  const transport::Program program_;
  const size_t max_restarts_per_minute_;
  base::Reactor* const reactor_;

  mutable base::Mutex mutex_;
  base::Backoff pauses_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<transport::Child>> children_ ABSL_GUARDED_BY(mutex_);  // the last one, and who runs
  std::deque<base::SteadyNs> starts_ ABSL_GUARDED_BY(mutex_);                        // the latest; as many as count
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;                                       // of all that were started
};

}  // namespace nearcall::rpc
