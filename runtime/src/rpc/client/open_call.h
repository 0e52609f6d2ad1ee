// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/buffer.h"
#include "base/mutex.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/client_call.h"
#include "rpc/client/async_call.h"
#include "rpc/client/side.h"

namespace nearcall::rpc {

// A call of which no thread waits, and at which its caller looks again when there is news (a coroutine does): a unary
// one, or an OpenStreamCall. Shared by its caller's HeldCall and, while it is under way, by the AsyncCalls that has it.
//
// Threads: see internal::ClientCall. Lock order: of a cancel; AsyncCalls.
class OpenCall : public AsyncCall {
 public:
  OpenCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size);

  // --- who reads ---
  Side& reading() { return reading_; }
  bool ended() const { return ended_.load(std::memory_order_acquire); }
  // After the end: those of the answer.
  ResponseMetadata& last_metadata() { return last_metadata_; }
  // After the end, once: the status, and the reply, if `to` is not null.
  absl::Status TakeReply(google::protobuf::MessageLite* to);

  // --- any thread ---
  void Cancel();

  // AsyncCall
  void ListenForStop(std::function<void()> cancel) override;
  void StopListening() override;
  void End(base::Buffer& spare) override;

 protected:
  void set_ended() { ended_.store(true, std::memory_order_release); }

 private:
  Side reading_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> taken_{false};  // nobody needs the memory of the answer any more

  base::Mutex cancel_mutex_;
  std::function<void()> cancel_ ABSL_GUARDED_BY(cancel_mutex_);  // while it is under way
  bool cancelled_ ABSL_GUARDED_BY(cancel_mutex_) = false;

  ResponseMetadata last_metadata_;  // of the answer; until the end the thread's that makes it, then the reader's
};

}  // namespace nearcall::rpc
