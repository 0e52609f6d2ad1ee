// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/fork.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"
#include "rpc/client/call_head.h"
#include "rpc/client/stream_attempts.h"
#include "session/arrivals.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// The caller's end of a streaming call whose threads wait: from its options to its status.
class ClientStreamImpl final : public internal::ClientStream {
 public:
  // Gives sessions to Open() until one is good, or it is over; see StreamAttempts.
  using OpenAnywhere = std::function<absl::Status(ClientStreamImpl& stream, const std::stop_token& stop)>;

  ClientStreamImpl(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
                   OpenAnywhere open_anywhere);
  ~ClientStreamImpl() override;

  // All that can be wrong before a connection is needed: see CallHead.
  absl::Status Prepare(const google::protobuf::MessageLite* request);
  const CallHead& head() const { return head_; }

  // Begins the call, somewhere. Not OK: it has ended.
  absl::Status OpenFirst(const google::protobuf::MessageLite* request);
  // Begins it over `session`. Not OK: it has ended; may be tried again on another session if it was not sent.
  absl::Status Open(const std::shared_ptr<session::ClientSession>& session) { return attempts_->Open(session); }
  // It has ended without having been begun.
  void EndUnsent(absl::Status status) { status_ = std::move(status); }

  // internal::ClientStream
  bool Read(google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override { return descriptors_.Release(); }
  void Lend(std::span<const int> descriptors) override { lent_ = descriptors; }
  bool Write(const google::protobuf::MessageLite& message, bool last) override;
  bool WritesDone() override;
  absl::Status Finish(google::protobuf::MessageLite* reply) override;
  void Cancel() override;
  bool WaitForInitialMetadata() override;
  const ResponseMetadata& metadata() const override { return metadata_; }

 private:
  CallOptions OptionsOf(const CallOptions& options);
  bool streams() const { return opened_ && !fork_guard_.InChild(); }
  template <typename Step>
  bool Do(Step&& step);
  // --- who reads ---
  bool ReadNext(google::protobuf::MessageLite& message);
  bool Parse(StreamAttempt& attempt, google::protobuf::MessageLite& message);
  bool TakeInitial(StreamAttempt& attempt);
  bool WaitForInitial();
  StreamAttempt& WaitForEnd(StreamAttempts::Ptr& hold);
  absl::Status End(google::protobuf::MessageLite* reply);
  void Close(StreamAttempt& attempt);
  // --- who writes ---
  bool HalfClose();

  const base::ForkGuard fork_guard_;
  ResponseMetadata metadata_;
  CallOptions options_;
  base::Descriptors opening_descriptors_;  // those of the options, which the caller has only lent
  CallHead head_;
  const OpenAnywhere open_anywhere_;
  std::unique_ptr<StreamAttempts> attempts_;
  bool opened_ = false;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;

  // Who reads.
  std::atomic<bool> somebody_reads_{false};
  session::Arrivals mine_;
  base::Descriptors descriptors_;  // of the element that was read last
  bool has_initial_ = false;
  std::optional<absl::Status> status_;  // once the call has ended and been given up

  // Who writes.
  std::atomic<bool> somebody_writes_{false};
  bool writes_done_ = false;
  std::span<const int> lent_;  // for the next element
};

}  // namespace nearcall::rpc
