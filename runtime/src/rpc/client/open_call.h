// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/buffer.h"
#include "base/mutex.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/client_call.h"
#include "rpc/client/async_call.h"
#include "rpc/client/side.h"
#include "session/arrivals.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// A call of any kind of which no thread waits, and at which its caller looks again when there is news (a coroutine
// does). Shared by its caller's HeldCall and, while it is under way, by the AsyncCalls that has it.
//
// Threads: see internal::ClientCall. Lock order: of a cancel, or of who writes; AsyncCalls; of the state; the session.
class OpenCall final : public AsyncCall {
 public:
  using AttemptPtr = std::shared_ptr<OpenAttempt>;

  OpenCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size);

  // --- who reads ---
  Side& reading() { return reading_; }
  // Takes what has come. kDone: it is in `arrivals`; whatever is there is dropped once the call has been given up.
  // `open`: null, if it is not open yet. `initial`: the server's initial metadata, not decoded, if they have come;
  // null: they are not wanted.
  internal::Tried Look(AttemptPtr& open, session::Arrivals& arrivals, std::optional<std::string>* initial);
  void GiveCredit(OpenAttempt& open, size_t element_size);
  bool ended();
  // After the end: those of the answer.
  ResponseMetadata& last_metadata() { return last_metadata_; }
  // After the end, once: the status, and the reply, if `to` is not null.
  absl::Status TakeReply(google::protobuf::MessageLite* to);

  // --- who writes ---
  Side& writing() { return writing_; }
  internal::Tried TryWrite(const google::protobuf::MessageLite& element, bool last);
  bool WritesDone();

  // --- any thread ---
  void Cancel();
  // Ends it with `why`, unless it has ended, and tells the server.
  void GiveUp(session::ClientSession& session, absl::Status why);

  // AsyncCall
  void ListenForStop(std::function<void()> cancel) override;
  void StopListening() override;
  void PrepareFor(const std::shared_ptr<session::ClientSession>& session) override;
  std::shared_ptr<OpenAttempt> present_attempt() override;
  void NoteOpened(const std::shared_ptr<OpenAttempt>& present) override;
  bool StartOver() override;
  void End(base::Buffer& spare) override;

 private:
  internal::Tried BeginElement(size_t size, bool last, AttemptPtr& open, absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool HalfClose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool SendHalfClose(OpenAttempt& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool Send(OpenAttempt& open, const wire::FrameHeader& header, const google::protobuf::MessageLite* element,
            size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  void NoteSending(session::ClientSession& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool client_streams() const { return internal::ClientStreams(request().method().kind); }
  bool server_streams() const { return internal::ServerStreams(request().method().kind); }
  bool streams() const { return client_streams() || server_streams(); }

  Side reading_;
  Side writing_;

  base::Mutex cancel_mutex_;
  std::function<void()> cancel_ ABSL_GUARDED_BY(cancel_mutex_);  // while it is under way
  bool cancelled_ ABSL_GUARDED_BY(cancel_mutex_) = false;

  base::Mutex write_mutex_;  // one message after the other

  base::Mutex mutex_;
  AttemptPtr prepared_ ABSL_GUARDED_BY(mutex_);       // the present one
  AttemptPtr open_ ABSL_GUARDED_BY(mutex_);           // the same, once the request has been sent
  bool settled_ ABSL_GUARDED_BY(mutex_) = false;      // not to be started over: more was sent, or something has come
  bool writes_done_ ABSL_GUARDED_BY(mutex_) = false;  // half-closed, or it will be once it is open
  bool listens_ ABSL_GUARDED_BY(mutex_) = false;      // its completion queue takes news
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  base::Buffer done_with_ ABSL_GUARDED_BY(mutex_);  // memory of the answer

  ResponseMetadata last_metadata_;  // of the answer; until the end the thread's that makes it, then the reader's
};

}  // namespace nearcall::rpc
