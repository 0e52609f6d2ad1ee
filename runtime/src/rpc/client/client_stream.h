// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fork.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/stream.h"
#include "rpc/client/call_head.h"
#include "session/arrivals.h"
#include "session/client_session.h"
#include "session/streaming_call.h"
#include "wire/header.h"

namespace nearcall::rpc {

// The caller's end of a streaming call whose threads wait: from its options to its status.
class ClientStreamImpl final : public internal::ClientStream {
 public:
  ClientStreamImpl(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size);
  ~ClientStreamImpl() override;

  // All that can be wrong before a connection is needed: see CallHead.
  absl::Status Prepare(const google::protobuf::MessageLite* request) { return head_.Prepare(request); }
  base::SteadyNs deadline() const { return head_.deadline(); }

  // Begins the call. Not OK: it has ended; may be tried again on another session if it was not sent.
  absl::Status Open(std::shared_ptr<session::ClientSession> session, const google::protobuf::MessageLite* request);
  // It has ended without having been begun.
  void EndUnsent(absl::Status status) { status_ = std::move(status); }

  // internal::ClientStream
  bool Read(google::protobuf::MessageLite& message) override;
  bool Write(const google::protobuf::MessageLite& message, bool last) override;
  bool WritesDone() override;
  absl::Status Finish(google::protobuf::MessageLite* reply) override;
  void Cancel() override;
  bool WaitForInitialMetadata() override;
  const ResponseMetadata& metadata() const override { return metadata_; }

 private:
  CallOptions OptionsOf(const CallOptions& options);
  bool streams() const { return call_ != nullptr && !fork_guard_.InChild(); }
  template <typename Step>
  bool Do(Step&& step);
  // --- who reads ---
  bool ReadNext(google::protobuf::MessageLite& message);
  bool Expired();
  bool Parse(google::protobuf::MessageLite& message);
  bool TakeInitial();
  bool WaitForInitial();
  absl::Status End(google::protobuf::MessageLite* reply);
  void Close();
  // --- who writes ---
  bool Send(const wire::FrameHeader& header, const google::protobuf::MessageLite& message, size_t size);
  bool HalfClose();

  const base::ForkGuard fork_guard_;
  ResponseMetadata metadata_;
  const CallOptions options_;
  CallHead head_;
  std::shared_ptr<session::ClientSession> session_;
  std::unique_ptr<session::StreamingCall> call_;  // once it has begun
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
  wire::FrameHeader element_;  // what the frames of the call have in common

  // Who reads.
  std::atomic<bool> somebody_reads_{false};
  session::Arrivals mine_;
  bool has_initial_ = false;
  std::optional<absl::Status> status_;  // once the call has ended and been given up

  // Who writes.
  std::atomic<bool> somebody_writes_{false};
  bool writes_done_ = false;
};

}  // namespace nearcall::rpc
