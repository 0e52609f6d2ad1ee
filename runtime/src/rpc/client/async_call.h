// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/buffer.h"
#include "base/intrusive_list.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/outcome.h"
#include "rpc/client/call_head.h"
#include "rpc/client/local_losses.h"
#include "session/client_call.h"
#include "session/client_session.h"
#include "session/credit.h"
#include "session/outbox.h"
#include "session/stream.h"
#include "session/waiting.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

// What calls end with that outlive their channel.
absl::Status ChannelDestroyed();

// One attempt of a call that streams and of which no thread waits, over one session.
struct OpenAttempt {
  OpenAttempt(std::shared_ptr<session::ClientSession> over, const session::Stream::Terms& terms,
              session::Waiting& reading, session::Waiting& writing)
      : session(std::move(over)), stream(terms, reading, writing), read(terms.receive_window) {}
  OpenAttempt(const OpenAttempt&) = delete;
  OpenAttempt& operator=(const OpenAttempt&) = delete;
  ~OpenAttempt() { session->outbox().Leave(flow); }

  const std::shared_ptr<session::ClientSession> session;
  session::Stream stream;     // the session guards it
  session::Flow flow;         // its outbox does
  session::ReadCount read;    // of who reads
  wire::FrameHeader element;  // what the frames of the call have in common; once it has begun
};

// One call of which no thread waits, from its options to its end. Which thread it belongs to is AsyncCalls' business;
// who hears of it is that of the classes that derive from it.
class AsyncCall : public session::ClientCall, public base::ListNode<AsyncCall> {
 public:
  // `response_metadata`: where those of its answer go; may be null.
  AsyncCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
            ResponseMetadata* response_metadata);
  AsyncCall(const AsyncCall&) = delete;
  AsyncCall& operator=(const AsyncCall&) = delete;
  virtual ~AsyncCall() = default;

  // Checks and serialises. `message` is null if its client streams.
  absl::Status Prepare(const google::protobuf::MessageLite* message);

  // What it sends over `session`: see CallHead. After an exception it is as before. RESOURCE_EXHAUSTED, too: there is
  // no descriptor left.
  absl::Status FitTo(const session::ClientSession& session);

  const CallHead& request() const { return request_; }
  bool wait_for_ready() const { return options_.wait_for_ready; }
  base::Buffer& bytes() { return bytes_; }
  // That go with the request; null: none.
  const std::shared_ptr<const base::Descriptors>& descriptors() const { return descriptors_; }

  // Nobody hears of it: it is not its caller's any more.
  virtual bool is_local() const { return false; }

  // A request to stop calls `cancel`: on any thread, or at once if it came before. StopListening() waits until that is
  // over.
  virtual void ListenForStop(std::function<void()> cancel);
  virtual void StopListening() { on_stop_.reset(); }

  // Before it begins over `session`.
  virtual void PrepareFor(const std::shared_ptr<session::ClientSession>& /*session*/) {}
  // After that, if it streams; else null.
  virtual std::shared_ptr<OpenAttempt> present_attempt() { return nullptr; }
  // Its request has been given to the session.
  virtual void NoteOpened(const std::shared_ptr<OpenAttempt>& /*present*/) {}

  // Ends a call that is not in flight.
  void EndUnsent(absl::Status status);

  // After it has ended: makes the status of it.
  void TakeAnswer();
  const absl::Status& status() const { return status_; }
  // As if it had never been started. False: it cannot be, for its request is not there any more, or was not all of it.
  [[nodiscard]] virtual bool StartOver();

  // It has ended without having been begun: both of these.
  void EndUnbegun();

  // Whoever is to hear of its end does, now. Last. An answer that is not wanted any more is exchanged for `spare`.
  virtual void End(base::Buffer& spare) = 0;

  // Guarded by the lock of the AsyncCalls that has the call, until it is taken out.
  std::shared_ptr<AsyncCall> self;  // as long as it is under way
  bool started = false;
  bool queued = false;
  size_t cost_in_line = 0;

 protected:
  wire::Message& answer() { return reply; }

 private:
  absl::Status KeepAttached();
  static CallOptions OptionsOf(const CallOptions& options, ResponseMetadata* response_metadata);

  CallOptions options_;
  CallHead request_;
  std::shared_ptr<const base::Descriptors> kept_;         // its own ones of the options'
  std::shared_ptr<const base::Descriptors> descriptors_;  // these, or with others by which attachments are passed
  base::Buffer bytes_;                                    // the request: envelope, payload, and copied attachments
  size_t envelope_in_bytes_ = 0;                          // at their beginning
  bool bytes_fit_ = true;                                 // the session that the call was fitted to last
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;

  absl::Status status_;
};

// A unary call with a callback.
class CallbackCall final : public AsyncCall, private internal::Outcome {
 public:
  CallbackCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
               internal::OnOutcome done)
      : AsyncCall(method, options, max_message_size, options.response_metadata), done_(std::move(done)) {}

  void End(base::Buffer& spare) override;

 private:
  absl::Status Take(google::protobuf::MessageLite& message) override;

  internal::OnOutcome done_;
};

// A one-way call of Capacity::kLocal: only its failure is noted.
class LocalCall final : public AsyncCall {
 public:
  LocalCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
            std::shared_ptr<LocalLosses> losses)
      : AsyncCall(method, options, max_message_size, nullptr), losses_(std::move(losses)) {}

  bool is_local() const override { return true; }
  void ListenForStop(std::function<void()> /*cancel*/) override {}
  void End(base::Buffer& spare) override;

 private:
  const std::shared_ptr<LocalLosses> losses_;
};

}  // namespace nearcall::rpc
