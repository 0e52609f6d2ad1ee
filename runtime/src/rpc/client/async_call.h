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
#include "wire/reassembler.h"

namespace nearcall::rpc {

// What calls end with that outlive their channel.
absl::Status ChannelDestroyed();

// One asynchronous unary call, from its options to its callback. Which thread it belongs to is AsyncCalls' business.
class AsyncCall final : public session::ClientCall, public base::ListNode<AsyncCall>, private internal::Outcome {
 public:
  AsyncCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
            internal::OnOutcome done)
      : options_(options), request_(method, options_, max_message_size), done_(std::move(done)) {}

  // One-way, of Capacity::kLocal: nobody hears of its end, and only its failure is noted.
  AsyncCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size,
            std::shared_ptr<LocalLosses> losses)
      : options_(options), request_(method, options_, max_message_size), losses_(std::move(losses)) {}

  // Checks and serialises.
  absl::Status Prepare(const google::protobuf::MessageLite& message);

  const CallHead& request() const { return request_; }
  bool is_local() const { return losses_ != nullptr; }
  bool wait_for_ready() const { return options_.wait_for_ready; }
  base::Buffer& bytes() { return bytes_; }

  // A stop request calls `cancel`: on any thread, or at once if it came before. StopListening() waits until that is
  // over.
  void ListenForStop(std::function<void()> cancel);
  void StopListening() { on_stop_.reset(); }

  // Ends a call that is not in flight.
  void EndUnsent(absl::Status status);

  // After it has ended: makes the status of it. `spare` is exchanged for the memory of the answer, so that the
  // connection can have it back.
  void TakeAnswer(base::Buffer& spare);
  const absl::Status& status() const { return status_; }
  // Whether the request is still there, to be sent again.
  bool has_request() const { return bytes_.size() == request_.size(); }
  // As if it had never been started.
  void StartOver();

  // Runs the callback, and gives it up; notes the failure of one that nobody hears of. Last.
  void RunCallback(base::Buffer& spare);

  // Guarded by the lock of the AsyncCalls that has the call.
  std::shared_ptr<AsyncCall> self;  // as long as it is under way
  bool started = false;
  bool queued = false;

 private:
  absl::Status Take(google::protobuf::MessageLite& message) override;

  const CallOptions options_;
  CallHead request_;
  internal::OnOutcome done_;
  const std::shared_ptr<LocalLosses> losses_;
  base::Buffer bytes_;  // the request: envelope and payload
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;

  wire::Message answer_;
  absl::Status status_;
};

}  // namespace nearcall::rpc
