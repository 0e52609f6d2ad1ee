// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
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
#include "rpc/client/open_call.h"
#include "rpc/client/side.h"
#include "session/arrivals.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// An open call whose client streams, or whose server does, or both.
//
// Lock order: of who writes; AsyncCalls; of the state; the session.
class OpenStreamCall final : public OpenCall {
 public:
  using AttemptPtr = std::shared_ptr<OpenAttempt>;

  OpenStreamCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size);

  // --- who reads ---
  // Takes what has come. kDone: it is in `arrivals`; whatever is there is dropped once the call has been given up.
  // `open`: null, if it is not open yet. `initial`: the server's initial metadata, not decoded, if they have come;
  // null: they are not wanted.
  internal::Tried Look(AttemptPtr& open, session::Arrivals& arrivals, std::optional<std::string>* initial);
  void GiveCredit(OpenAttempt& open, size_t element_size);

  // --- who writes ---
  Side& writing() { return writing_; }
  internal::Tried TryWrite(const google::protobuf::MessageLite& element, bool last,
                           std::span<const int> descriptors = {}, std::span<const Buffer> attachments = {});
  bool WritesDone();

  // --- any thread ---
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
  // What an element brings beside itself.
  struct Enclosed {
    std::span<const int> descriptors;
    std::span<const Buffer> buffers;
    Attached attached = {};  // made of these, for the attempt
  };
  internal::Tried BeginElement(size_t size, Enclosed& enclosed, bool last, AttemptPtr& open, absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool SendHalfClose(OpenAttempt& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  bool Send(OpenAttempt& open, const wire::FrameHeader& header, const google::protobuf::MessageLite* element,
            size_t size, std::span<const int> descriptors = {}, const Attached* attached = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  void NoteSending(session::ClientSession& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool client_streams_;
  Side writing_;

  base::Mutex write_mutex_;  // one message after the other

  base::Mutex mutex_;                                 // it ends under this, too
  AttemptPtr prepared_ ABSL_GUARDED_BY(mutex_);       // the present one
  AttemptPtr open_ ABSL_GUARDED_BY(mutex_);           // the same, once the request has been sent
  bool settled_ ABSL_GUARDED_BY(mutex_) = false;      // not to be started over: more was sent, or something has come
  bool writes_done_ ABSL_GUARDED_BY(mutex_) = false;  // half-closed, or it will be once it is open
  bool listens_ ABSL_GUARDED_BY(mutex_) = false;      // its completion queue takes news
};

}  // namespace nearcall::rpc
