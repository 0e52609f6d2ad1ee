// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "absl/status/status.h"
#include "base/quota.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/internal/stream.h"
#include "session/arrivals.h"
#include "session/credit.h"
#include "session/outbox.h"
#include "session/stream.h"
#include "session/waiting.h"

namespace nearcall::rpc {

class CallContext;
class HandlerPlace;
struct Request;
struct ServerCore;

// The handler's end of a streaming call. Its threads wait: one that reads, and one that writes; the handler's own one
// gives its place among the running handlers back meanwhile.
class ServerStreamImpl final : public internal::ServerStream {
 public:
  // What it is given outlives it.
  ServerStreamImpl(ServerCore& core, const Request& request, CallContext& context, HandlerPlace& place);
  ~ServerStreamImpl();

  // Sets aside what it may need. RESOURCE_EXHAUSTED: there is not so much; the call is then answered with that.
  absl::Status Admit();

  // For the session. Guarded by its lock.
  session::Stream& state() { return state_; }

  // The call's messages leave in order, the answer too.
  session::Flow& flow() { return flow_; }

  // With the next message, or alone. False: the stream has failed.
  bool SendInitialMetadata();
  bool sent_initial_metadata() const { return sent_initial_metadata_; }

  // Why the stream cannot go on though nobody has cancelled it; OK: it can.
  absl::Status Failure();

  // internal::ServerStream
  bool Read(google::protobuf::MessageLite& message) override;
  bool Write(const google::protobuf::MessageLite& message) override;

 private:
  bool ReadNext(google::protobuf::MessageLite& message);
  bool Parse(google::protobuf::MessageLite& message);
  void GiveCredit(size_t element_size);
  bool WriteNext(const google::protobuf::MessageLite& message);
  bool WaitForCredit(size_t size);
  bool Send(const wire::FrameHeader& header, const google::protobuf::MessageLite* message, size_t size);
  bool Fail(absl::Status why);

  ServerCore& core_;
  const Request& request_;
  CallContext& context_;
  HandlerPlace& place_;
  session::Waiting reading_;
  session::Waiting writing_;
  session::Stream state_;
  session::Flow flow_;
  bool counted_ = false;
  base::Charge window_;

  // Who reads.
  std::atomic<bool> somebody_reads_{false};
  session::Arrivals mine_;
  session::ReadCount read_;

  // Who writes.
  std::atomic<bool> somebody_writes_{false};
  bool sent_initial_metadata_ = false;
};

}  // namespace nearcall::rpc
