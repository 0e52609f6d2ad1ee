// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
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
#include "rpc/client/side.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

// What asynchronous calls need of their channel. Not called after its end.
class CallOwner {
 public:
  // Blocks. The channel's present session, or a new one.
  virtual absl::StatusOr<std::shared_ptr<session::ClientSession>> Connect(base::SteadyNs deadline) = 0;
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
class CallLoop {
 public:
  CallLoop(const ChannelOptions& options, std::shared_ptr<base::Logger> logger, session::CompletionQueue& queue,
           CallState& state)
      : options_(options), logger_(std::move(logger)), queue_(queue), state_(state) {}
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  // Until there has been nothing to do for a while.
  void Run() {
    do {
      Turn();
    } while (WaitForNews());
  }

 private:
  using SessionPtr = CallBook::SessionPtr;
  using Begun = CallBook::Begun;

  void Turn();
  void RunCallbacks();
  void EndCall(AsyncCall& call);
  void RunSide(Side& side);
  bool StartsOver(const std::shared_ptr<AsyncCall>& call, const SessionPtr& session);
  template <typename Code>
  void RunUserCode(const std::shared_ptr<AsyncCall>& call, Code code);
  void ConnectIfNeeded();
  void FailUnconnected(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void MoveElsewhere();
  void ReadForSlots();
  void BeginWaiting();
  Begun TryBegin(AsyncCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex);
  void EndLocal();
  bool WaitForNews();

  const ChannelOptions& options_;
  const std::shared_ptr<base::Logger> logger_;
  session::CompletionQueue& queue_;
  CallState& state_;

  base::Buffer spare_;           // memory of the last answer, for the next
  base::SteadyNs retry_at_ = 0;  // the next attempt to connect
  base::Backoff retry_pauses_{base::kReconnectMinNs, base::kReconnectMaxNs};
};

}  // namespace nearcall::rpc
