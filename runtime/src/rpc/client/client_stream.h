// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/fork.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/method.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"
#include "rpc/client/call_head.h"
#include "rpc/client/stream_attempts.h"
#include "rpc/read_elements.h"
#include "session/client_session.h"
#include "wire/header.h"

namespace nearcall::rpc {

// The caller's end of a streaming call whose threads wait: from its options to its status.
class ClientStreamImpl final : public internal::ClientStream {
 public:
  // Gives sessions to Open() until one is good, or it is over; see StreamAttempts.
  using OpenAnywhere = std::function<absl::Status(StreamAttempts& attempts, const std::stop_token& stop)>;

  ClientStreamImpl(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
                   OpenAnywhere open_anywhere);
  ~ClientStreamImpl() override;

  // All that can be wrong before a connection is needed: see CallHead.
  absl::Status Prepare(const google::protobuf::MessageLite* request);

  // Begins the call, somewhere. Not OK: it has ended.
  absl::Status OpenFirst(const google::protobuf::MessageLite* request);
  // It has ended without having been begun.
  void EndUnsent(absl::Status status) { status_ = std::move(status); }

  // internal::ClientStream
  bool Read(google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override { return mine_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const override { return mine_.attachments(); }
  void Lend(std::span<const int> descriptors) override { lent_ = descriptors; }
  void Attach(Buffer buffer) override { attach_.push_back(std::move(buffer)); }
  bool Write(const google::protobuf::MessageLite& message, bool last) override;
  bool WritesDone() override;
  absl::Status Finish(google::protobuf::MessageLite* reply) override;
  void Cancel() override;
  bool WaitForInitialMetadata() override;
  const ResponseMetadata& metadata() const override { return metadata_; }

 private:
  bool streams() const { return opened_ && !fork_guard_.InChild(); }
  // --- who reads ---
  bool ReadNext(google::protobuf::MessageLite& message);
  bool TakeInitial(StreamAttempt& attempt);
  bool WaitForInitial();
  StreamAttempt& WaitForEnd(StreamAttempts::Ptr& hold);
  absl::Status End(google::protobuf::MessageLite* reply);
  void Close(StreamAttempt& attempt);
  // --- who writes ---
  bool WriteNow(const google::protobuf::MessageLite& message, bool last, std::span<const int> lent,
                std::span<const Buffer> attach);
  bool HalfClose();

  const base::ForkGuard fork_guard_;
  ResponseMetadata metadata_;
  CallOptions options_;
  std::shared_ptr<const base::Descriptors> opening_descriptors_;  // those of the options
  CallHead head_;
  const OpenAnywhere open_anywhere_;
  std::unique_ptr<StreamAttempts> attempts_;
  bool opened_ = false;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;

  // Who reads.
  std::atomic<bool> somebody_reads_{false};
  ReadElements mine_;
  bool has_initial_ = false;
  std::optional<absl::Status> status_;  // once the call has ended and been given up

  // Who writes.
  std::atomic<bool> somebody_writes_{false};
  bool writes_done_ = false;
  std::span<const int> lent_;   // for the next element
  std::vector<Buffer> attach_;  // likewise
};

}  // namespace nearcall::rpc
