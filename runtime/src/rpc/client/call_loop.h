// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/backoff.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutex.h"
#include "nearcall/channel.h"
#include "rpc/client/async_call.h"
#include "rpc/client/call_book.h"
#include "rpc/client/callback_runner.h"
#include "rpc/client/side.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

// What asynchronous calls need of their channel. Not called after its end.
class CallOwner {
 public:
  // The channel's present session, or a new one. Blocks; or, in the user's event queue, nullopt: there is none yet, and
  // `wake` will be called.
  virtual std::optional<absl::StatusOr<std::shared_ptr<session::ClientSession>>> Connect(
      base::SteadyNs deadline, std::function<void()> wake) = 0;
  // The connection takes no more calls: starts `call` over another one. False: the channel is going away.
  virtual bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) = 0;

 protected:
  ~CallOwner() = default;
};

// What the threads that start calls and the one that waits for them share.
struct CallState {
  CallState(CallOwner& channel, const ChannelOptions& options, session::CompletionQueue& queue,
            std::shared_ptr<session::ClientSession> session)
      : owner(&channel), book(options, queue, std::move(session)) {}

  base::Mutex mutex;
  CallOwner* owner ABSL_GUARDED_BY(mutex);                // nullptr after the end of the channel
  base::SteadyNs leave_until ABSL_GUARDED_BY(mutex) = 0;  // after that: local calls may be sent
  CallBook book ABSL_GUARDED_BY(mutex);

  // Of the one that waits.
  bool running ABSL_GUARDED_BY(mutex) = false;
  bool idle ABSL_GUARDED_BY(mutex) = false;            // it does not read
  bool streams_only ABSL_GUARDED_BY(mutex) = false;    // it reads, and rings for no reply
  base::SteadyNs wakes_at ABSL_GUARDED_BY(mutex) = 0;  // at the latest
};

// What is done for the asynchronous calls of a connection by the one thread that waits for all of them: it reads, runs
// callbacks and operations, starts what waits, and ends what is overdue. What callbacks start waits until their batch
// is over, and is published together.
//
// That thread is the channel's, in Run(); or the user's, in an event queue (QueuedLoop).
class CallLoop {
 public:
  using SessionPtr = CallBook::SessionPtr;

  CallLoop(const ChannelOptions& options, std::shared_ptr<base::Logger> logger, session::CompletionQueue& queue,
           CallState& state)
      : callbacks_(options, std::move(logger)), queue_(queue), state_(state) {}
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  // Until there has been nothing to do for a while.
  void Run() {
    do {
      Turn(kCallbacksPerBatch);
    } while (WaitForNews());
  }

  // One turn, with at most `max` callbacks and operations: how many have run. BeginWait() follows.
  size_t Turn(size_t max);
  // Before the first turn, in an event queue: what CallOwner::Connect() is given.
  void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }

  // In a turn, by the user's code: published with what else its batch starts.
  void Post(const Opening& opening, AsyncCall& call);

  // What is waited for after a turn.
  struct Rest {
    SessionPtr session;
    base::SteadyNs until;  // at the latest
    bool reads;            // what comes over the session is waited for
    bool nothing_left;
    bool leaving;  // until all has left this process
    bool noted;    // in the CallState, for who starts calls
  };
  // Does what the turn has left to do. It is waited for from now on; or still, if there has been no news.
  Rest BeginWait(bool had_news);
  // Until now. False: there is nothing left to do, and nobody waits any more: `end` is called, under the lock.
  bool EndWait(const Rest& rest, absl::FunctionRef<void()> end);

 private:
  using Begun = CallBook::Begun;

  // Callbacks that run before what they have started is sent.
  static constexpr size_t kCallbacksPerBatch = 64;

  size_t RunCallbacks(size_t max);
  bool HasChores() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void DoChores();
  void Publish();
  Rest NoteWait(bool had_news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void EndCall(AsyncCall& call);
  void RunSide(Side& side);
  bool StartsOver(const std::shared_ptr<AsyncCall>& call, session::ClientSession& session);
  void ConnectIfNeeded();
  void FailUnconnected(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void MoveElsewhere();
  void ReadForSlots();
  void BeginWaiting();
  Begun TryBegin(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void EndLocal();
  bool WaitForNews();

  const CallbackRunner callbacks_;
  session::CompletionQueue& queue_;
  CallState& state_;

  std::function<void()> wake_;

  session::ClientSession* unpublished_ = nullptr;  // the book's, if something was posted over it
  // Calls that have ended and still have their callbacks to run: they are out of the book. (A callback may end its
  // thread; another one goes on.)
  base::List<session::Completion> ended_;
  session::ClientSession* ended_over_ = nullptr;  // the book's; null if they have not been in flight
  base::Buffer spare_;                            // memory of the last answer, for the next
  base::SteadyNs retry_at_ = 0;                   // the next attempt to connect
  base::Backoff retry_pauses_{base::kReconnectMinNs, base::kReconnectMaxNs};
};

}  // namespace nearcall::rpc
