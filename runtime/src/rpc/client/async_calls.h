// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/backoff.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "nearcall/channel.h"
#include "rpc/client/async_call.h"
#include "rpc/client/side.h"
#include "session/client_session.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

// The asynchronous calls of a channel over one connection, or over one that is still to be made: those in flight, those
// that wait for a place, and the thread that reads for all of them and runs their callbacks. The thread exists while
// there is something to do, and a second longer.
//
// A call is started on its caller's thread if it can be sent at once; else it waits here, by lanes, for the thread to
// start it. What callbacks start waits until their batch is over, and is published together.
//
// Thread-safe. Lock order: this, then the session, then the completion queue. Owned by the channel and by the thread.
class AsyncCalls : public std::enable_shared_from_this<AsyncCalls> {
 public:
  using SessionPtr = std::shared_ptr<session::ClientSession>;

  // What it needs of its channel. Not called after Stop().
  class Owner {
   public:
    // Blocks. The channel's present session, or a new one.
    virtual absl::StatusOr<SessionPtr> Connect(base::SteadyNs deadline) = 0;
    // The connection takes no more calls: starts `call` over another one. False: the channel is going away.
    virtual bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) = 0;

   protected:
    ~Owner() = default;
  };

  // Without a session it makes the connection itself.
  AsyncCalls(Owner& owner, const ChannelOptions& options, std::shared_ptr<base::Logger> logger, SessionPtr session);
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

  // Whether the connection takes no more calls.
  bool retired();
  // Whether nothing is left to do, and no thread.
  bool finished();

  // Cancels everything but local calls, which have kLeaveNs to be sent. When this returns the callbacks have run, and
  // the thread has ended; but if it is called by that thread (by a callback), both happen afterwards.
  void Stop();

 private:
  using Lane = base::List<AsyncCall>;

  // What is to be sent of a call that has just begun.
  struct Opening {
    SessionPtr session;
    wire::FrameHeader header;
    std::shared_ptr<OpenAttempt> stream;
  };

  Started StartLocked(const std::shared_ptr<AsyncCall>& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Adopt(const std::shared_ptr<AsyncCall>& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  session::Callers::Begun TryBegin(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  session::Callers::Begun TryBeginOrNoMemory(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Opening OpeningOf(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Post(const Opening& opening, AsyncCall& call, session::Outbox::HandOver when);
  bool MayWait(const AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(AsyncCall& call, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeOut(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveQueue(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Cancel(AsyncCall& call);
  void CancelLocked(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  AsyncCall* FirstWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool RetiredLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status EnsureThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  base::Thread TakeThread();
  bool OnItsThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t BytesWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NoRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- the thread ---
  void ThreadMain();
  void Run();
  void RunCallbacks();
  void EndCall(AsyncCall& call);
  void RunSide(Side& side);
  bool StartsOver(const std::shared_ptr<AsyncCall>& call, const SessionPtr& session);
  template <typename Code>
  void RunUserCode(const std::shared_ptr<AsyncCall>& call, Code code);
  void ConnectIfNeeded();
  bool AllWaitForReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailUnconnected(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ExpireOverdue();
  void ReadForSlots();
  void BeginWaiting();
  void EndLocal();
  void MoveElsewhere();
  bool WaitForNews();

  const ChannelOptions options_;
  const std::shared_ptr<base::Logger> logger_;
  session::CompletionQueue queue_;
  base::Buffer spare_;  // the thread's: memory of the last answer, for the next

  base::Mutex mutex_;
  Owner* owner_ ABSL_GUARDED_BY(mutex_);        // nullptr after Stop()
  SessionPtr session_ ABSL_GUARDED_BY(mutex_);  // set once
  std::array<Lane, base::kLanes> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Lane in_flight_ ABSL_GUARDED_BY(mutex_);                                             // until their callback's turn
  std::set<std::pair<base::SteadyNs, AsyncCall*>> deadlines_ ABSL_GUARDED_BY(mutex_);  // of both
  base::SteadyNs retry_at_ ABSL_GUARDED_BY(mutex_) = 0;                                // the next attempt to connect
  base::Backoff retry_pauses_ ABSL_GUARDED_BY(mutex_){base::kReconnectMinNs, base::kReconnectMaxNs};
  base::SteadyNs leave_until_ ABSL_GUARDED_BY(mutex_) = 0;  // after Stop(): local calls may be sent
  size_t replies_due_ ABSL_GUARDED_BY(mutex_) = 0;          // of calls in flight that do not stream
  bool idle_ ABSL_GUARDED_BY(mutex_) = false;               // the thread waits, and does not read
  bool streams_only_ ABSL_GUARDED_BY(mutex_) = false;       // it reads, and rings for no reply
  base::SteadyNs wakes_at_ ABSL_GUARDED_BY(mutex_) = 0;     // the thread waits until then
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  base::Thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
