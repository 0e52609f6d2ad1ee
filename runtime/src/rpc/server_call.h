// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/exec_state.h"
#include "nearcall/service.h"
#include "rpc/server_core.h"
#include "rpc/stop_request.h"
#include "session/server_session.h"
#include "transport/control.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

struct InLane;  // a call's place in the dispatch queue

// One call on the server: its request, its context, its answer. It is read by a poller, waits in its queue, and runs on
// one thread; a cancel may reach it from another at any time.
class ServerCallImpl final : public internal::ServerCall,
                             public ServerContext,
                             public session::ActiveCall,
                             public base::ListNode<InLane> {
 public:
  explicit ServerCallImpl(ServerCore& core) : core_(core) {}
  ~ServerCallImpl() override;

  // Where the next request is read to; Accept() then makes it a call.
  wire::Message& message() { return message_; }
  // False: the client may not begin it, and the connection has been closed.
  [[nodiscard]] bool Accept(std::shared_ptr<session::ServerSession> session, base::SteadyNs now);

  // Answers without running: refused, expired, nobody there.
  void Refuse(const absl::Status& status, ExecState exec_state);

  // Runs the handler, or refuses if it must not start any more. When this returns the call has been answered, or its
  // handler has deferred that.
  void Run();

  // After Run(): whether the caller is the last holder, who gives the call up with Reset(). Else it is no more his: it
  // belongs to whoever will answer it.
  bool Drop() { return holders_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  // After it has been answered or dropped: gives up all that it holds but the memory of its request.
  void Reset();

  session::ServerSession& session() { return *session_; }
  size_t lane() const { return static_cast<size_t>(priority_); }
  size_t request_size() const { return message_.header.message_size; }
  bool may_block() const { return method_ != nullptr && method_->method->info.may_block; }

  // internal::ServerCall
  ServerContext& context() override { return *this; }
  bool ParseRequest(google::protobuf::MessageLite& request) override;
  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override;
  std::unique_ptr<internal::PendingAnswer> Defer() override;

  // ServerContext
  PeerIdentity peer() const override { return session_->peer(); }
  absl::Time deadline() const override;
  bool IsCancelled() const override;
  std::stop_token stop_token() override;
  const Metadata& client_metadata() const override { return client_metadata_; }
  Metadata& initial_metadata() override { return initial_metadata_; }
  Metadata& trailing_metadata() override { return trailing_metadata_; }
  Priority priority() const override { return priority_; }
  uint64_t sequence_number() const override { return message_.header.sequence; }
  absl::string_view transport() const override { return session_->transport().name(); }

  // session::ActiveCall
  Stage stage() const override { return stage_.load(std::memory_order_relaxed); }
  const char* method() const override { return method_ == nullptr ? nullptr : method_->method->info.full_name; }
  base::SteadyNs arrived() const override { return arrived_; }
  void MarkCancelled() override;

 private:
  class Pending;

  bool Expired() const { return deadline_ != base::kNever && base::NowNs() >= deadline_; }
  void RunHandler();
  void OnThreadExit();
  void FinishWith(const absl::Status& status, const google::protobuf::MessageLite* reply);
  bool DecodeMetadata();
  void Answer(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply);
  absl::Status CheckReply(size_t reply_size) const;
  void Send(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply,
            size_t reply_size);
  void SendInstead(const absl::Status& status, ExecState exec_state);
  void LogFailure(LogSeverity severity, absl::string_view line) const;

  ServerCore& core_;
  std::shared_ptr<session::ServerSession> session_;
  wire::Message message_;
  const ServiceTable::Method* method_ = nullptr;
  Priority priority_ = Priority::kNormal;
  base::SteadyNs arrived_ = 0;
  base::SteadyNs deadline_ = base::kNever;
  Metadata client_metadata_;
  Metadata initial_metadata_;
  Metadata trailing_metadata_;
  bool answered_ = false;  // of the thread that runs the handler
  bool deferred_ = false;  // likewise
  std::atomic<int> holders_{1};
  std::atomic<Stage> stage_{Stage::kWaiting};

  std::atomic<bool> cancelled_{false};
  base::Mutex stop_mutex_;
  std::shared_ptr<StopRequest> stop_ ABSL_GUARDED_BY(stop_mutex_);  // once somebody has asked for the token
  std::unique_ptr<transport::Timer> stop_at_deadline_;
};

}  // namespace nearcall::rpc
