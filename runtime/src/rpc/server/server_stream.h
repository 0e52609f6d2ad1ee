// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/internal/stream.h"
#include "nearcall/server_context.h"
#include "rpc/message_count.h"
#include "rpc/server/stream_claim.h"
#include "rpc/server/stream_side.h"
#include "session/arrivals.h"
#include "session/credit.h"
#include "session/outbox.h"
#include "session/stream.h"
#include "transport/control.h"

namespace nearcall::rpc {

class CallTally;
class HandlerPlace;
struct Request;
struct ServerCore;

// The handler's end of a streaming call. Who reads and who writes may be two. Threads wait; the handler's own one gives
// its place among the running handlers back meanwhile. A coroutine is suspended, and goes on in its turn.
class ServerStreamImpl final : public internal::ServerStream {
 public:
  // What it is given outlives it.
  ServerStreamImpl(ServerCore& core, const Request& request, ServerContext& context, CallTally& tally,
                   HandlerPlace& place);

  // What it may need, to be taken before the handler starts.
  StreamClaim& claim() { return claim_; }

  // For the session. Guarded by its lock.
  session::Stream& state() { return state_; }

  // The call's messages leave in order, the answer too.
  session::Flow& flow() { return flow_; }

  // With the next message, or alone. False: the stream has failed.
  bool SendInitialMetadata();
  bool sent_initial_metadata() const { return sent_initial_metadata_; }

  // Why the stream cannot go on though nobody has cancelled it; OK: it can.
  absl::Status Failure();

  // Elements that the handler has read, and written.
  uint64_t read() const { return elements_read_.get(); }
  uint64_t written() const { return elements_written_.get(); }

  // The call is about to be answered. Nobody may wait for the stream any more.
  void End();

  // internal::ServerStream
  bool Read(google::protobuf::MessageLite& message) override;
  bool Write(const google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override { return descriptors_.Release(); }
  void Lend(std::span<const int> descriptors) override { lent_ = descriptors; }
  internal::Tried TryRead(google::protobuf::MessageLite& message) override;
  internal::Tried TryWrite(const google::protobuf::MessageLite& message) override;
  bool WhenReadable(internal::Operation& operation) override;
  bool WhenWritable(internal::Operation& operation) override;
  void Withdraw(internal::Operation& operation) override;
  void TellNews() override;
  internal::Tried TryNews() override;
  bool WaitForNews() override;
  bool WhenNews(internal::Operation& operation) override;

 private:
  internal::Tried ReadNow(google::protobuf::MessageLite& message);
  internal::Tried ReadNext(google::protobuf::MessageLite& message);
  bool Parse(google::protobuf::MessageLite& message);
  void GiveCredit(size_t element_size);
  internal::Tried WriteNow(const google::protobuf::MessageLite& message);
  internal::Tried WriteNext(const google::protobuf::MessageLite& message);
  bool WatchDeadline();
  absl::Status CheckElement(size_t size, std::span<const int> descriptors) const;
  bool Send(const wire::FrameHeader& header, const google::protobuf::MessageLite* message, size_t size,
            std::span<const int> descriptors = {});
  bool Fail(absl::Status why);

  ServerCore& core_;
  const Request& request_;
  ServerContext& context_;
  CallTally& tally_;
  HandlerPlace& place_;
  StreamSide reading_;
  StreamSide writing_;
  session::Stream state_;
  session::Flow flow_;
  StreamClaim claim_;

  // Who reads.
  std::atomic<bool> somebody_reads_{false};
  session::Arrivals mine_;
  base::Descriptors descriptors_;  // of the element that was read last
  session::ReadCount read_;
  MessageCount elements_read_;

  // Who waits for news of the program's own waits where others read. The session's lock guards it.
  bool has_news_ = false;

  // Who writes.
  std::atomic<bool> somebody_writes_{false};
  bool sent_initial_metadata_ = false;
  MessageCount elements_written_;
  std::span<const int> lent_;  // for the next element

  // Who is suspended hears of the deadline. Last: it uses the others.
  std::atomic<bool> watches_deadline_{false};
  std::unique_ptr<transport::Timer> at_deadline_;
};

}  // namespace nearcall::rpc
