// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <stop_token>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "google/protobuf/message_lite.h"
#include "rpc/client/call_head.h"
#include "rpc/client/stream_attempt.h"
#include "session/client_session.h"

namespace nearcall::rpc {

// The attempts of one stream's call: when one has ended before any handler saw it there is another. Only the opening is
// kept for that, so once an element has been sent, or anything has come, the present attempt is the last one: the
// stream is settled.
//
// Thread-safe.
class StreamAttempts {
 public:
  using Ptr = std::shared_ptr<StreamAttempt>;
  // Calls Open() with sessions until it succeeds, or it is over; waits as long as the call may, unless it is stopped.
  using OpenAnywhere = std::function<absl::Status(const std::stop_token& stop)>;

  // `head` outlives this. Who opens fits it to its session; the others use what does not change by that.
  StreamAttempts(CallHead& head, OpenAnywhere open_anywhere) : head_(head), open_anywhere_(std::move(open_anywhere)) {}
  StreamAttempts(const StreamAttempts&) = delete;
  StreamAttempts& operator=(const StreamAttempts&) = delete;

  const CallHead& head() const { return head_; }

  // The first of all. `request`: null if the client streams; else it is kept, if it is small.
  absl::Status OpenFirst(const google::protobuf::MessageLite* request);
  // One attempt over `session`. Not OK: it has ended; may be tried again over another one if it was not sent.
  absl::Status Open(const std::shared_ptr<session::ClientSession>& session);

  // The present one; not null, if OpenFirst() has succeeded. `hold` keeps it alive, where another thread could give it
  // up meanwhile.
  StreamAttempt& Present(Ptr& hold);
  // The same for who is about to send an element, or a half-close: it is the last one.
  StreamAttempt& PresentToWrite(Ptr& hold);
  // It is the last one: something has come, or it has ended.
  void Settle();

  // Waits, if somebody else is just looking for one. True: there is another one in place of `ended`.
  bool FoundAnother(const StreamAttempt& ended);
  // Not OK: there was to be another one, and it could not be.
  const absl::Status& why_no_other() const { return why_no_other_; }

  // Takes a step of the call. False: `step` says so, or there was no memory for it, with which the call ends.
  template <typename Step>
  bool Try(Step&& step) {
    try {
      return step();
    } catch (const std::bad_alloc&) {
      EndForWantOfMemory();
      return false;
    }
  }

  // Ends the present one, and begins none any more.
  void Cancel();

 private:
  bool Keep(const google::protobuf::MessageLite& request);
  void EndForWantOfMemory();

  CallHead& head_;
  const OpenAnywhere open_anywhere_;
  // Of who opens.
  const google::protobuf::MessageLite* request_ = nullptr;
  std::unique_ptr<google::protobuf::MessageLite> kept_request_;

  std::atomic<bool> settled_{false};  // set under the lock; from then on the two below are constant
  Ptr present_;
  absl::Status why_no_other_;

  base::Mutex mutex_;
  base::CondVar opened_;
  bool opening_ ABSL_GUARDED_BY(mutex_) = false;  // anew
  Ptr begun_ ABSL_GUARDED_BY(mutex_);             // what a cancel is for
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::stop_source stop_opening_ ABSL_GUARDED_BY(mutex_){std::nostopstate};
};

}  // namespace nearcall::rpc
