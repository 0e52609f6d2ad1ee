// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/buffer.h"
#include "nearcall/internal/stream.h"
#include "nearcall/server_context.h"
#include "rpc/server/element_reader.h"
#include "rpc/server/element_writer.h"
#include "rpc/server/served_stream.h"
#include "rpc/server/stream_claim.h"
#include "rpc/server/stream_side.h"
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
  session::Flow& flow() { return writer_.flow(); }

  // With the next message, or alone. False: the stream has failed.
  bool SendInitialMetadata() { return writer_.SendInitialMetadata(); }
  bool sent_initial_metadata() const { return writer_.sent_initial_metadata(); }

  // Why the stream cannot go on though nobody has cancelled it; OK: it can.
  absl::Status Failure();

  // The call is about to be answered. Nobody may wait for the stream any more.
  void End();

  // internal::ServerStream
  bool Read(google::protobuf::MessageLite& message) override;
  bool Write(const google::protobuf::MessageLite& message) override;
  std::vector<UniqueFd> TakeDescriptors() override { return reader_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const override { return reader_.attachments(); }
  void Lend(std::span<const int> descriptors) override { writer_.Lend(descriptors); }
  void Attach(Buffer buffer) override { writer_.Attach(std::move(buffer)); }
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
  bool WatchDeadline();

  const Request& request_;
  ServerContext& context_;
  HandlerPlace& place_;
  StreamSide reading_;
  StreamSide writing_;
  session::Stream state_;
  const ServedStream stream_;

  // Who reads, and who writes.
  std::atomic<bool> somebody_reads_{false};
  ElementReader reader_;
  std::atomic<bool> somebody_writes_{false};
  ElementWriter writer_;

  StreamClaim claim_;

  // Of the program's own. Who waits for it waits where others read; to who reads it means that he stops. The session's
  // lock guards it.
  bool has_news_ = false;

  // Who is suspended hears of the deadline. Last: it uses the others.
  std::atomic<bool> watches_deadline_{false};
  std::unique_ptr<transport::Timer> at_deadline_;
};

}  // namespace nearcall::rpc
