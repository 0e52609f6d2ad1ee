// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/incoming_call.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/probes.h"
#include "rpc/parse_message.h"

namespace nearcall::rpc {

namespace {

// Both sides' files may differ in which methods are one-way.
bool StreamsAlike(internal::MethodKind a, internal::MethodKind b) {
  return internal::ClientStreams(a) == internal::ClientStreams(b) &&
         internal::ServerStreams(a) == internal::ServerStreams(b);
}

EndedCall EndedCallOf(const Request& request, const CallTally& tally) {
  session::ServerSession& session = *request.session;
  EndedCall call = {.peer = &session.client().peer(),
                    .connection = session.id(),
                    .transport = session.transport().name(),
                    .arrived = request.arrived,
                    .end = tally.end(),
                    .bytes_received = request.message.header.message_size + tally.bytes_read(),
                    .elements_received = tally.elements_read(),
                    .elements_sent = tally.elements_written()};
  if (const char* const name = request.method_name(); name != nullptr) call.method = name;
  call.end.bytes_sent += tally.bytes_written();
  return call;
}

}  // namespace

// The one who answers later. Holds the call together with the thread that runs its handler.
class IncomingCall::Pending final : public internal::PendingAnswer {
 public:
  explicit Pending(IncomingCall& call)
      : call_(&call), answering_(call.core_.answering), exceptions_(std::uncaught_exceptions()) {}

  ~Pending() override {
    if (call_ == nullptr) return;
    const char* name = call_->method_name();
    const bool thrown = std::uncaught_exceptions() > exceptions_;
    Answer(thrown ? HandlerRun::Failed(ExecState::kExecuted, name)
                  : absl::InternalError(absl::StrCat("the handler of ", name, " has dropped the call unanswered")),
           nullptr);
  }

  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override {
    if (call_ != nullptr) Answer(status, &reply);
  }
  void FinishStream(const absl::Status& status) override {
    if (call_ != nullptr) Answer(status, nullptr);
  }
  void FinishThrown() override {
    if (call_ == nullptr) return;
    const char* name = call_->method_name();
    call_->run_.LogThrown(ExecState::kExecuted);
    Answer(HandlerRun::Failed(ExecState::kExecuted, name), nullptr);
  }

 private:
  void Answer(const absl::Status& status, const google::protobuf::MessageLite* reply) {
    // The server may go as soon as the call has ended.
    const std::shared_ptr<Latch> answering = answering_;
    answering->Enter();
    IncomingCall* const call = std::exchange(call_, nullptr);
    call->answer_.Finish(status, reply);
    call->request_.NoteWritten();
    if (call->Drop()) {
      call->Reset();
      delete call;
    }
    answering->Leave();
  }

  IncomingCall* call_;
  const std::shared_ptr<Latch> answering_;
  const int exceptions_;
};

IncomingCall::IncomingCall(ServerCore& core, Places& places, CallCounts::Writer leader)
    : core_(core),
      context_(core, request_),
      leader_(leader),
      answer_(core, request_, context_, tally_, *this),
      place_(core, places, request_, *this),
      run_(core, request_, context_, answer_, place_),
      turn_(Turn::Kind::kCall, *this) {}

std::unique_ptr<internal::PendingAnswer> IncomingCall::Defer() {
  run_.Defer();
  Hold();
  return std::make_unique<Pending>(*this);
}

bool IncomingCall::Accept(std::shared_ptr<session::ServerSession> session, base::SteadyNs now) {
  const wire::FrameHeader& header = request_.message.header;
  request_.session = std::move(session);
  if (absl::Status violation = request_.FindMethod(core_.services); !violation.ok()) {
    request_.session->Break(violation);
    request_.message.charge.Release();
    request_.session.reset();
    return false;
  }
  request_.priority = std::min(static_cast<Priority>(header.priority), core_.options.max_priority);
  request_.arrived = turn_.queued_at = now;
  const uint64_t longest = static_cast<uint64_t>(base::kNever);
  request_.deadline = header.time_left_ns == 0
                          ? base::kNever
                          : base::AddNs(now, static_cast<int64_t>(std::min(header.time_left_ns, longest)));
  if (request_.streams()) stream_ = std::make_unique<ServerStreamImpl>(core_, request_, context_, tally_, place_);
  context_.Begin(stream_.get());
  answer_.Begin(stream_.get());
  Begin(header.call_id, header.method_id, stream_ == nullptr ? nullptr : &stream_->state(), header.has(wire::kOneWay));
  if (!request_.session->AddCall(*this)) {
    request_.message.charge.Release();
    stream_.reset();
    request_.session.reset();
    return false;
  }
  tally_.Begin(core_.services.CountsOf(request_.method), leader_, request_.message.bytes.size(), now);
  core_.CallBegins();
  return true;
}

void IncomingCall::Reset(bool by_leader) {
  if (request_.session == nullptr) return;
  NEARCALL_PROBE3(server_call_end, this, request_.method_name(), static_cast<int>(tally_.code()));
  tally_.Finish(by_leader);
  if (core_.tracers.any()) [[unlikely]] {
    core_.tracers.Tell(EndedCallOf(request_, tally_));
  }
  std::shared_ptr<session::ServerSession> session = request_.session;
  session->calls().Remove(*this);
  if (stream_ != nullptr) session->outbox().Leave(stream_->flow());
  stream_.reset();
  request_.session.reset();
  request_.message.charge.Release();
  request_.message.descriptors.Clear();
  request_.message.attachments.Clear();
  context_.Reset();
  answer_.Reset();
  run_.Reset();
  holders_.store(1, std::memory_order_relaxed);
  if (session->listener().TakeWanted()) session->listener().AskToLook();
  session.reset();
  core_.CallEnds();
}

void IncomingCall::Run() {
  const ServiceTable::Method* const method = request_.method;
  if (context_.IsCancelled()) {
    const bool expired = request_.expired();
    Refuse(expired ? absl::DeadlineExceededError("the deadline passed before the handler could start")
                   : absl::CancelledError("cancelled before the handler started"),
           ExecState::kNotStarted);
  } else if (method == nullptr || !(request_.generic() || StreamsAlike(method->method->info.kind, request_.kind()))) {
    // No such method, or one that streams in the client's file and not in ours, or the other way round. The client
    // knows the name that belongs to the number, and makes the text.
    Refuse(absl::UnimplementedError(""), ExecState::kNotStarted);
  } else if (absl::Status decoded = context_.Decode(); !decoded.ok()) {
    Refuse(decoded, ExecState::kNotStarted);
  } else {
    run_.Run(*this);
  }
}

bool IncomingCall::ParseRequest(google::protobuf::MessageLite& request) {
  const absl::Status parsed =
      ReadMessage("the request of", method_name(), request_.generic(), request_.payload(), request);
  // What a large one was read to is for the next one, however long this one's handler takes.
  request_.message.bytes.Trim(base::kDefaultRingSize);
  if (!parsed.ok()) {
    Refuse(parsed, ExecState::kNotStarted);
  } else if (one_way()) {
    answer_.GiveAtStart();
  }
  return parsed.ok();
}

void IncomingCall::MarkCancelled() {
  context_.Cancel();
  // The session's lock, which is held, guards it.
  if (session::Stream* const state = ActiveCall::stream(); state != nullptr) state->Wake();
}

}  // namespace nearcall::rpc
