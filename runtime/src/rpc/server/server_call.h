// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/waiter.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/exec_state.h"
#include "nearcall/service.h"
#include "rpc/server/server_core.h"
#include "rpc/server/server_stream.h"
#include "rpc/server/stop_request.h"
#include "session/server_session.h"
#include "session/waiting.h"
#include "transport/control.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

class ServerCallImpl;
struct InLane;  // a call's place in the dispatch queue

// What a handler's thread does for others while it waits for its stream.
class StreamWait {
 public:
  // Until there is news, or something else is to be done, or nothing comes.
  virtual void LeadOnUntil(const session::Waiting& waiting) = 0;

 protected:
  ~StreamWait() = default;
};

// Whoever gives handlers their places.
class Places {
 public:
  // `call`, whose handler has waited without a place, gets one again: in its lane, when it is its turn. Waits for it.
  // False: there will be none, for its connection has ended.
  virtual bool TakeAgain(ServerCallImpl& call) = 0;

 protected:
  ~Places() = default;
};

// One call on the server: its request, its context, its answer. It is read by a poller, waits in its queue, and runs on
// one thread; a cancel may reach it from another at any time.
class ServerCallImpl final : public internal::ServerCall,
                             public ServerContext,
                             public session::ActiveCall,
                             public base::ListNode<InLane> {
 public:
  ServerCallImpl(ServerCore& core, Places& places) : core_(core), places_(places) {}
  ~ServerCallImpl() override;

  // Where the next request is read to; Accept() then makes it a call.
  wire::Message& message() { return message_; }
  // False: the client may not begin it, and the connection has been closed.
  [[nodiscard]] bool Accept(std::shared_ptr<session::ServerSession> session, base::SteadyNs now);

  // Sets aside what its stream needs, if it has one. RESOURCE_EXHAUSTED: there is not so much.
  absl::Status AdmitStream() { return stream_ == nullptr ? absl::OkStatus() : stream_->Admit(); }

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

  session::ServerSession& session() const { return *session_; }
  size_t lane() const { return static_cast<size_t>(priority_); }
  size_t request_size() const { return message_.header.message_size; }
  // It says so, or has done so lately.
  bool may_block() const {
    return method_ != nullptr && (method_->method->info.may_block || (!streams() && method_->habit.blocks()));
  }
  // Of its method; nullptr if it is of no interest.
  BlockingHabit* habit() const { return method_ == nullptr || streams() ? nullptr : &method_->habit; }
  // Its handler may wait for its client, and so needs a thread of its own.
  bool streams() const { return stream_ != nullptr; }
  // In both directions.
  bool is_dialogue() const { return kind() == internal::MethodKind::kBidiStreaming; }
  ServerCore& core() { return core_; }
  base::SteadyNs deadline_ns() const { return deadline_; }
  // Of a frame to the client.
  wire::FrameHeader HeaderOf(wire::FrameKind kind) const;
  // Something has been sent, or kept, by another thread than the leader.
  void NoteWritten();

  // --- its place among the handlers that run ---
  void GivePlace() { has_place_ = true; }
  // Until it is poked. Gives its place back meanwhile, if it has to sleep. (Other threads than the handler's have
  // none.)
  void WaitFor(session::Waiting& waiting);
  // After Run(): whether it has one still.
  bool has_place() const { return has_place_; }

  // Since when it waits in the dispatch queue: as a new call, or for its place again.
  base::SteadyNs queued_at() const { return queued_at_; }
  bool waits_for_place() const { return place_ != nullptr; }
  // By its thread: until somebody calls EndWaitForPlace().
  void BeginWaitForPlace(base::Waiter& place);
  void EndWaitForPlace(bool has_place);
  // While its handler runs on a thread that leads.
  void set_stream_wait(StreamWait* wait) { stream_wait_ = wait; }

  // internal::ServerCall
  ServerContext& context() override { return *this; }
  bool ParseRequest(google::protobuf::MessageLite& request) override;
  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override;
  std::unique_ptr<internal::PendingAnswer> Defer() override;
  internal::ServerStream& stream() override { return *stream_; }
  void FinishStream(const absl::Status& status) override { FinishWith(status, nullptr); }

  // ServerContext
  const PeerIdentity& peer() const override { return session_->peer(); }
  absl::Time deadline() const override;
  bool IsCancelled() const override;
  std::stop_token stop_token() override;
  const Metadata& client_metadata() const override { return client_metadata_; }
  Metadata& initial_metadata() override { return initial_metadata_; }
  void SendInitialMetadata() override;
  void WillBlock() override;
  Metadata& trailing_metadata() override { return trailing_metadata_; }
  Priority priority() const override { return priority_; }
  absl::string_view method() const override { return method_name(); }
  uint64_t sequence_number() const override { return message_.header.sequence; }
  absl::string_view transport() const override { return session_->transport().name(); }

  // session::ActiveCall
  Stage stage() const override { return stage_.load(std::memory_order_relaxed); }
  const char* method_name() const override { return method_ == nullptr ? nullptr : method_->method->info.full_name; }
  base::SteadyNs arrived() const override { return arrived_; }
  void MarkCancelled() override;

 private:
  class Pending;

  internal::MethodKind kind() const;
  bool Expired() const { return deadline_ != base::kNever && base::NowNs() >= deadline_; }
  void LeavePlace();
  void TakePlaceAgain();
  void RunHandler();
  void OnThreadExit(ExecState reached);
  void FinishWith(const absl::Status& status, const google::protobuf::MessageLite* reply);
  bool DecodeMetadata();
  void Answer(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply);
  absl::Status CheckReply(size_t reply_size) const;
  void Send(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply,
            size_t reply_size);
  void SendInstead(const absl::Status& status, ExecState exec_state);
  void LogFailure(LogSeverity severity, absl::string_view line) const;

  ServerCore& core_;
  Places& places_;
  std::shared_ptr<session::ServerSession> session_;
  wire::Message message_;
  const ServiceTable::Method* method_ = nullptr;
  Priority priority_ = Priority::kNormal;
  base::SteadyNs arrived_ = 0;
  base::SteadyNs deadline_ = base::kNever;
  Metadata client_metadata_;
  Metadata initial_metadata_;
  Metadata trailing_metadata_;
  bool answered_ = false;    // of the thread that runs the handler
  bool deferred_ = false;    // likewise
  bool told_start_ = false;  // likewise; the reply has gone, for nobody waits for the end
  std::atomic<int> holders_{1};
  std::atomic<Stage> stage_{Stage::kWaiting};

  std::unique_ptr<ServerStreamImpl> stream_;
  bool has_place_ = false;   // of the thread that runs the handler
  std::thread::id runs_on_;  // likewise
  StreamWait* stream_wait_ = nullptr;
  base::SteadyNs queued_at_ = 0;
  base::Waiter* place_ = nullptr;  // of the thread that waits for a place

  std::atomic<bool> cancelled_{false};
  base::Mutex stop_mutex_;
  std::shared_ptr<StopRequest> stop_ ABSL_GUARDED_BY(stop_mutex_);  // once somebody has asked for the token
  std::unique_ptr<transport::Timer> stop_at_deadline_;
};

}  // namespace nearcall::rpc
