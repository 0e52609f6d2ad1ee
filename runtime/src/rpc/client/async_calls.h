// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/log.h"
#include "base/reactor.h"
#include "base/thread.h"
#include "nearcall/channel.h"
#include "rpc/client/async_call.h"
#include "rpc/client/call_book.h"
#include "rpc/client/call_loop.h"
#include "rpc/client/queued_loop.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

// The asynchronous calls of a channel over one connection, or over one that is still to be made, and the thread that
// waits for all of them (CallLoop). The thread exists while there is something to do, and a second longer; or there is
// none, and the user's event queue does its work.
//
// A call is started on its caller's thread if it can be sent at once; else it waits here, by lanes, for the thread to
// start it.
//
// Thread-safe. Owned by the channel and by the thread, or the queue.
class AsyncCalls : public std::enable_shared_from_this<AsyncCalls> {
 public:
  using SessionPtr = CallBook::SessionPtr;
  using Owner = CallOwner;

  // Without a session it makes the connection itself. `reactor`: of the user's event queue, which then takes the
  // thread's place; may be null.
  AsyncCalls(Owner& owner, const ChannelOptions& options, base::Reactor* reactor, std::shared_ptr<base::Logger> logger,
             SessionPtr session);
  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;
  ~AsyncCalls();

  enum class Started {
    kInFlight,   // sent
    kQueued,     // sent later, or ended
    kElsewhere,  // no: this connection takes no more calls
    kRefused,    // no: it is local, and there is no room for it; its failure says so
    kNoThread,   // no: the system has none
  };
  // One that has ended already (its `failure` is set) only has its callback run.
  Started Start(const std::shared_ptr<AsyncCall>& call);

  // Over which they go; nullptr: there is none yet.
  SessionPtr session();

  // Whether nothing is left to do, and no thread.
  bool finished();

  // Cancels everything but local calls, which have kLeaveNs to be sent. When this returns the callbacks have run, and
  // the thread has ended; but if it is called by that thread (by a callback), both happen afterwards.
  void Stop();

 private:
  Started StartLocked(const std::shared_ptr<AsyncCall>& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void Cancel(AsyncCall& call);
  absl::Status EnsureThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  base::Thread TakeThread();
  bool InItsTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void StopInQueue();
  void ThreadMain();

  const ChannelOptions options_;
  session::CompletionQueue queue_;
  CallState state_;
  CallLoop loop_;  // the thread's
  std::optional<QueuedLoop> queued_;
  base::Thread thread_ ABSL_GUARDED_BY(state_.mutex);
};

}  // namespace nearcall::rpc
