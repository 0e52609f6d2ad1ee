// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "base/clock.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/exec_state.h"
#include "nearcall/service.h"
#include "rpc/server/answer.h"
#include "rpc/server/call_context.h"
#include "rpc/server/call_counts.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/handler_run.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "rpc/server/server_stream.h"
#include "rpc/server/turn.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// One call on the server, from its request being read until nothing of it is needed any more. It is read by a poller,
// waits in its queue, and runs on one thread; a cancel may reach it from another at any time.
class IncomingCall final : public internal::ServerCall, public session::ActiveCall {
 public:
  // `leader`: as whom the poller's leader counts.
  IncomingCall(ServerCore& core, Places& places, CallCounts::Writer leader = CallCounts::kAnybody);

  // Where the next request is read to; Accept() then makes it a call.
  Request& request() { return request_; }
  // False: the client may not begin it, and the connection has been closed.
  [[nodiscard]] bool Accept(std::shared_ptr<session::ServerSession> session, base::SteadyNs now);

  // Sets aside what its stream needs, if it has one. RESOURCE_EXHAUSTED: there is not so much.
  absl::Status AdmitStream() { return stream_ == nullptr ? absl::OkStatus() : stream_->claim().Take(request_); }

  // Answers without running: refused, expired, nobody there.
  void Refuse(const absl::Status& status, ExecState exec_state) { answer_.Refuse(status, exec_state); }

  // Its handler may start.
  Turn& turn() { return turn_; }
  // Runs the handler, or refuses if it must not start any more. When this returns the call has been answered, or its
  // handler has deferred that.
  void Run();
  // Of the handler, before and after Run().
  HandlerPlace& place() { return place_; }

  // Somebody else needs the call: a turn that has been queued. By who knows that it is held.
  void Hold() { holders_.fetch_add(1, std::memory_order_relaxed); }
  // After Run(), or a turn: whether the caller is the last holder, who gives the call up with Reset(). Else it is no
  // more his: it belongs to whoever will answer it.
  bool Drop() { return holders_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  // After it has been answered or dropped: gives up all that it holds but the memory of its request.
  void Reset(bool by_leader = false);

  // internal::ServerCall
  ServerContext& context() override { return context_; }
  internal::MethodKind kind() const override { return one_way() ? internal::MethodKind::kOneWay : request_.kind(); }
  bool ParseRequest(google::protobuf::MessageLite& request) override;
  size_t request_size() const override {
    return request_.message.header.message_size - request_.message.header.envelope_size;
  }
  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override {
    answer_.Finish(status, &reply);
  }
  std::unique_ptr<internal::PendingAnswer> Defer() override;
  internal::ServerStream& stream() override { return *stream_; }
  void FinishStream(const absl::Status& status) override { answer_.Finish(status, nullptr); }

  // session::ActiveCall
  Stage stage() const override { return run_.stage(); }
  const char* method_name() const override { return request_.method_name(); }
  base::SteadyNs arrived() const override { return request_.arrived; }
  bool is_standard() const override { return request_.method != nullptr && request_.method->standard; }
  void MarkCancelled() override;

 private:
  class Pending;

  struct Start final : Turn {
    using Turn::Turn;
    void Run() override { call.Run(); }
  };

  ServerCore& core_;
  Request request_;
  CallContext context_;
  const CallCounts::Writer leader_;
  CallTally tally_;
  Answer answer_;
  HandlerPlace place_;
  HandlerRun run_;
  Start turn_;
  std::unique_ptr<ServerStreamImpl> stream_;
  std::atomic<int> holders_{1};
};

}  // namespace nearcall::rpc
