// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "nearcall/channel.h"
#include "rpc/client/async_calls.h"
#include "rpc/client/servers.h"

namespace nearcall::rpc {

// The asynchronous calls of a channel, by its connections: those that are present, and those that have ended and still
// have callbacks to run.
//
// Thread-safe.
class AsyncConnections {
 public:
  // What it is given outlives it. `reactor` may be null.
  AsyncConnections(AsyncCalls::Owner& owner, Servers& servers, const ChannelOptions& options, base::Reactor* reactor,
                   std::shared_ptr<base::Logger> logger)
      : owner_(owner), servers_(servers), options_(options), reactor_(reactor), logger_(std::move(logger)) {}
  AsyncConnections(const AsyncConnections&) = delete;
  AsyncConnections& operator=(const AsyncConnections&) = delete;

  // Starts the call over a present connection. False: there is no thread for it, or no room, as its failure says, or
  // the channel is going away.
  bool Start(const std::shared_ptr<AsyncCall>& call);

  // Once: no more are started, and the callbacks of those that were have run (AsyncCalls::Stop).
  void Stop();

  // In a forked child: the threads, and whatever locks they held, are the parent's. Nothing of them is destroyed.
  void Leak() ABSL_NO_THREAD_SAFETY_ANALYSIS { static_cast<void>(new auto(std::move(connections_))); }

 private:
  using CallsPtr = std::shared_ptr<AsyncCalls>;

  CallsPtr Present(const AsyncCalls* refused);
  CallsPtr Find(const AsyncCalls* refused, const Servers::SessionPtr& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  AsyncCalls::Owner& owner_;
  Servers& servers_;
  const ChannelOptions& options_;
  base::Reactor* const reactor_;
  const std::shared_ptr<base::Logger> logger_;

  base::Mutex mutex_;
  std::vector<CallsPtr> connections_ ABSL_GUARDED_BY(mutex_);  // the last one: of the newest
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
