// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_call.h"

#include <cxxabi.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/blocking.h"
#include "base/no_memory.h"
#include "rpc/parse_message.h"
#include "rpc/protobuf_log.h"
#include "rpc/server/message_writer.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

namespace {

// Whose code it was: the handler's, or before that ServerOptions::authorize.
const char* WhatRan(ExecState reached) {
  return reached == ExecState::kNotStarted ? "ServerOptions::authorize for " : "the handler of ";
}

// UNAVAILABLE of a call that was not started is how a server says that it goes away.
ExecState StateOfRefusal(const absl::Status& why) {
  return absl::IsUnavailable(why) ? ExecState::kMaybeExecuted : ExecState::kNotStarted;
}

// Both sides' files may differ in which methods are one-way.
bool StreamsAlike(internal::MethodKind a, internal::MethodKind b) {
  return internal::ClientStreams(a) == internal::ClientStreams(b) &&
         internal::ServerStreams(a) == internal::ServerStreams(b);
}

// Of which its caller has heard that the handler started.
void NoteOneWayEnd(ServerCore& core, uid_t user, const char* method, const absl::Status& status) {
  if (status.ok()) return;
  core.one_way_failed.fetch_add(1, std::memory_order_relaxed);
  core.logger->Log(
      {base::LogKind::kUserCode, user}, LogSeverity::kWarning,
      absl::StrCat("a one-way call of ", method, " has ended with ", status.ToString(), "; its caller is not told"));
}

// What the exception said may be what the caller must not see.
absl::Status Failed(ExecState reached, const char* method) {
  return absl::UnknownError(absl::StrCat(WhatRan(reached), method, " failed"));
}

}  // namespace

// The one who answers later. Holds the call together with the thread that runs its handler.
class ServerCallImpl::Pending final : public internal::PendingAnswer {
 public:
  explicit Pending(ServerCallImpl& call)
      : call_(&call), answering_(call.core_.answering), exceptions_(std::uncaught_exceptions()) {}

  ~Pending() override {
    if (call_ == nullptr) return;
    const char* name = call_->method_->method->info.full_name;
    const bool thrown = std::uncaught_exceptions() > exceptions_;
    Answer(thrown ? Failed(ExecState::kExecuted, name)
                  : absl::InternalError(absl::StrCat("the handler of ", name, " has dropped the call unanswered")),
           nullptr);
  }

  void Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) override {
    if (call_ != nullptr) Answer(status, &reply);
  }

 private:
  void Answer(const absl::Status& status, const google::protobuf::MessageLite* reply) {
    // The server may go as soon as the call has ended.
    const std::shared_ptr<Latch> answering = answering_;
    answering->Enter();
    ServerCallImpl* const call = std::exchange(call_, nullptr);
    call->FinishWith(status, status.ok() ? reply : nullptr);
    call->NoteWritten();
    if (call->Drop()) {
      call->Reset();
      delete call;
    }
    answering->Leave();
  }

  ServerCallImpl* call_;
  const std::shared_ptr<Latch> answering_;
  const int exceptions_;
};

ServerCallImpl::~ServerCallImpl() = default;

std::unique_ptr<internal::PendingAnswer> ServerCallImpl::Defer() {
  deferred_ = true;
  holders_.store(2, std::memory_order_relaxed);
  return std::make_unique<Pending>(*this);
}

bool ServerCallImpl::Accept(std::shared_ptr<session::ServerSession> session, base::SteadyNs now) {
  const wire::FrameHeader& header = message_.header;
  session_ = std::move(session);
  method_ = core_.services.Find(header.method_id);
  if (kind() != internal::MethodKind::kUnary) {
    stream_ = std::make_unique<ServerStreamImpl>(*this, internal::ClientStreams(kind()));
  }
  Begin(header.call_id, header.method_id, stream_ == nullptr ? nullptr : &stream_->state(), header.has(wire::kOneWay));
  priority_ = std::min(static_cast<Priority>(header.priority), core_.options.max_priority);
  arrived_ = queued_at_ = now;
  const uint64_t longest = static_cast<uint64_t>(base::kNever);
  deadline_ = header.time_left_ns == 0 ? base::kNever
                                       : base::AddNs(now, static_cast<int64_t>(std::min(header.time_left_ns, longest)));
  if (!session_->AddCall(*this)) {
    message_.charge.Release();
    stream_.reset();
    session_.reset();
    return false;
  }
  core_.CallBegins();
  return true;
}

void ServerCallImpl::Reset() {
  if (session_ == nullptr) return;
  std::shared_ptr<session::ServerSession> session = session_;
  session->RemoveCall(*this);
  if (stream_ != nullptr) session->outbox().Leave(stream_->flow());
  stream_.reset();
  session_.reset();
  message_.charge.Release();
  stop_at_deadline_.reset();
  {
    base::MutexLock lock(stop_mutex_);
    stop_.reset();
  }
  cancelled_.store(false, std::memory_order_relaxed);
  client_metadata_.Clear();
  initial_metadata_.Clear();
  trailing_metadata_.Clear();
  answered_ = deferred_ = told_start_ = false;
  stage_.store(Stage::kWaiting, std::memory_order_relaxed);
  holders_.store(1, std::memory_order_relaxed);
  if (session->LookWasWanted()) session->AskToBeLookedAt();
  session.reset();
  core_.CallEnds();
}

void ServerCallImpl::Refuse(const absl::Status& status, ExecState exec_state) {
  core_.calls_refused.fetch_add(1, std::memory_order_relaxed);
  Answer(status, exec_state, nullptr);
}

void ServerCallImpl::Run() {
  if (IsCancelled()) {
    const bool expired = Expired();
    Refuse(expired ? absl::DeadlineExceededError("the deadline passed before the handler could start")
                   : absl::CancelledError("cancelled before the handler started"),
           ExecState::kNotStarted);
  } else if (method_ == nullptr || !StreamsAlike(method_->method->info.kind, kind())) {
    // No such method, or one that streams in the client's file and not in ours, or the other way round. The client
    // knows the name that belongs to the number, and makes the text.
    Refuse(absl::UnimplementedError(""), ExecState::kNotStarted);
  } else if (DecodeMetadata()) {
    RunHandler();
  }
}

// As the client sees it.
internal::MethodKind ServerCallImpl::kind() const {
  const bool client_streams = !message_.header.has(wire::kEnd);
  const bool server_streams = message_.header.has(wire::kElements);
  if (client_streams) {
    return server_streams ? internal::MethodKind::kBidiStreaming : internal::MethodKind::kClientStreaming;
  }
  return server_streams ? internal::MethodKind::kServerStreaming : internal::MethodKind::kUnary;
}

bool ServerCallImpl::DecodeMetadata() {
  const uint32_t size = message_.header.envelope_size;
  if (size == 0) return true;
  absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(std::as_const(message_.bytes).bytes().first(size));
  if (!metadata.ok()) {
    Refuse(metadata.status(), ExecState::kNotStarted);
    return false;
  }
  client_metadata_ = *std::move(metadata);
  return true;
}

// User code, all of it: whether the client may call this method, and then what the method does.
void ServerCallImpl::RunHandler() {
  const char* name = method_->method->info.full_name;
  runs_on_ = std::this_thread::get_id();
  stage_.store(Stage::kInHandler, std::memory_order_relaxed);
  ExecState reached = ExecState::kNotStarted;
  try {
    if (core_.options.authorize) {
      if (absl::Status may = core_.options.authorize(peer(), name); !may.ok()) return Refuse(may, StateOfRefusal(may));
    }
    reached = ExecState::kExecuted;
    core_.calls_started.fetch_add(1, std::memory_order_relaxed);
    method_->method->run(*method_->service, *this);
    if (deferred_) stage_.store(Stage::kDeferred, std::memory_order_relaxed);
  } catch (abi::__forced_unwind&) {
    OnThreadExit(reached);
    throw;
  } catch (...) {
    LogFailure(LogSeverity::kError, absl::StrCat(WhatRan(reached), name, " threw an exception"));
    if (!deferred_ && !answered_) Answer(Failed(reached, name), reached, nullptr);
  }
}

// The user's code has called pthread_exit(3). The thread goes on unwinding; its caller must not wait for ever.
void ServerCallImpl::OnThreadExit(ExecState reached) {
  const absl::Status status = base::OrNoMemory([&] {
    const std::string text =
        absl::StrCat(WhatRan(reached), method_->method->info.full_name, " has ended its thread (pthread_exit)");
    LogFailure(LogSeverity::kError, text);
    return absl::InternalError(text);
  });
  if (!deferred_ && !answered_) Answer(status, reached, nullptr);
}

bool ServerCallImpl::ParseRequest(google::protobuf::MessageLite& request) {
  const std::span<const std::byte> payload =
      std::as_const(message_.bytes).bytes().subspan(message_.header.envelope_size);
  const absl::Status parsed = ParseMessage("the request of", method_->method->info.full_name, payload, request);
  if (!parsed.ok()) {
    Refuse(parsed, ExecState::kNotStarted);
  } else if (one_way()) {
    Answer(absl::OkStatus(), ExecState::kExecuted, nullptr);
    answered_ = false;  // by the handler
    told_start_ = true;
    NoteWritten();  // the handler may take its time
  }
  return parsed.ok();
}

void ServerCallImpl::Finish(const absl::Status& status, const google::protobuf::MessageLite& reply) {
  FinishWith(status, status.ok() ? &reply : nullptr);
}

void ServerCallImpl::FinishWith(const absl::Status& status, const google::protobuf::MessageLite* reply) {
  if (Expired()) {
    Answer(absl::DeadlineExceededError("the handler took longer than the deadline allowed"), ExecState::kExecuted,
           nullptr);
    return;
  }
  const absl::Status failure = stream_ == nullptr ? absl::OkStatus() : stream_->Failure();
  Answer(failure.ok() ? status : failure, ExecState::kExecuted, failure.ok() ? reply : nullptr);
}

void ServerCallImpl::Answer(const absl::Status& status, ExecState exec_state,
                            const google::protobuf::MessageLite* reply) try {
  answered_ = true;
  if (told_start_) return NoteOneWayEnd(core_, session_->peer().uid, method_->method->info.full_name, status);
  if (session_->gone()) return;
  FreeSlot();
  const size_t reply_size = reply == nullptr ? 0 : reply->ByteSizeLong();
  const absl::Status checked = CheckReply(reply_size);
  if (checked.ok()) {
    Send(status, exec_state, reply, reply_size);
  } else {
    SendInstead(checked, exec_state);
  }
} catch (const std::bad_alloc&) {
  // A part of it may have gone. The client must not wait for the rest.
  session_->HangUp();
}

// Why the answer cannot be sent as the handler made it.
absl::Status ServerCallImpl::CheckReply(size_t reply_size) const {
  for (const Metadata* metadata : {&initial_metadata_, &trailing_metadata_}) {
    if (metadata->empty()) continue;
    if (absl::Status valid = metadata->Validate(); !valid.ok()) {
      return absl::InternalError(absl::StrCat("the handler's metadata: ", valid.message()));
    }
  }
  const size_t limit = std::min(core_.options.max_message_size, session_->peer_max_message_size());
  if (reply_size > limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the reply has ", reply_size, " B, more than max_message_size (", limit, " B)"));
  }
  return absl::OkStatus();
}

void ServerCallImpl::Send(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply,
                          size_t reply_size) {
  if (stream_ != nullptr && stream_->sent_initial_metadata()) initial_metadata_.Clear();
  std::string envelope;
  if (!status.ok() || !initial_metadata_.empty() || !trailing_metadata_.empty()) {
    absl::StatusOr<std::string> encoded = wire::EncodeReplyEnvelope(
        {.initial = initial_metadata_, .trailing = trailing_metadata_, .status = status, .exec_state = exec_state});
    // Too much metadata, or too many details.
    if (!encoded.ok()) return SendInstead(encoded.status(), exec_state);
    envelope = *std::move(encoded);
  }
  wire::FrameHeader header = HeaderOf(wire::FrameKind::kReply);
  header.status = static_cast<uint8_t>(status.code());
  header.envelope_size = static_cast<uint32_t>(envelope.size());
  if (!envelope.empty()) header.flags |= wire::kEnvelope;
  const ProtobufLog log;
  const Written written = WriteMessage(session_->outbox(), session_->transport().max_frame_size(), header,
                                       std::as_bytes(std::span(envelope)), reply, reply_size,
                                       stream_ == nullptr ? nullptr : &stream_->flow());
  if (written == Written::kChanged) {
    SendInstead(absl::InternalError("the reply changed while it was serialised"), exec_state);
  } else if (written == Written::kOverQuota) {
    SendInstead(session_->account()->MemoryRefusal(reply_size), exec_state);
  }
  if (!log.text().empty()) {
    LogFailure(LogSeverity::kWarning, absl::StrCat("the reply of ", method_->method->info.full_name, ": ", log.text()));
  }
}

void ServerCallImpl::LogFailure(LogSeverity severity, absl::string_view line) const {
  core_.logger->Log({base::LogKind::kUserCode, session_->peer().uid}, severity, line);
}

void ServerCallImpl::SendInstead(const absl::Status& status, ExecState exec_state) {
  initial_metadata_.Clear();
  trailing_metadata_.Clear();
  Send(status, exec_state, nullptr, 0);
}

wire::FrameHeader ServerCallImpl::HeaderOf(wire::FrameKind kind) const {
  wire::FrameHeader header;
  header.kind = kind;
  header.priority = static_cast<uint8_t>(priority_);
  header.call_id = message_.header.call_id;
  header.method_id = message_.header.method_id;
  return header;
}

void ServerCallImpl::NoteWritten() {
  if (session_->NeedsALook()) session_->AskToBeLookedAt();
}

void ServerCallImpl::SendInitialMetadata() {
  if (stream_ == nullptr || !internal::ServerStreams(kind())) return;
  static_cast<void>(stream_->SendInitialMetadata());
}

void ServerCallImpl::WillBlock() {
  base::BlockingObserver::AboutToBlock();
}

void ServerCallImpl::WaitFor(session::Waiting& waiting) {
  const bool of_handler = runs_on_ == std::this_thread::get_id();
  if (of_handler && stream_wait_ != nullptr) stream_wait_->LeadOnUntil(waiting);
  const bool sleeps = of_handler && !waiting.has_news();
  if (sleeps) LeavePlace();
  waiting.waiter.Wait(deadline_);
  // The news is what has just woken it; or else the next wait is none.
  waiting.ForgetNews();
  if (sleeps) TakePlaceAgain();
}

void ServerCallImpl::LeavePlace() {
  if (!has_place_) return;
  has_place_ = false;
  core_.FreePlace(session_->account());
}

void ServerCallImpl::TakePlaceAgain() {
  if (has_place_) return;
  queued_at_ = base::NowNs();
  has_place_ = places_.TakeAgain(*this);
}

void ServerCallImpl::BeginWaitForPlace(base::Waiter& place) {
  place_ = &place;
}

// SUBTLE: the thread goes on, and may end the call, at the last step.
void ServerCallImpl::EndWaitForPlace(bool has_place) {
  base::Waiter* const place = std::exchange(place_, nullptr);
  has_place_ = has_place;
  place->Finish();
}

absl::Time ServerCallImpl::deadline() const {
  if (deadline_ == base::kNever) return absl::InfiniteFuture();
  return absl::Now() + absl::Nanoseconds(deadline_ - base::NowNs());
}

bool ServerCallImpl::IsCancelled() const {
  return cancelled_.load(std::memory_order_acquire) || Expired();
}

std::stop_token ServerCallImpl::stop_token() {
  std::shared_ptr<StopRequest> stop;
  {
    base::MutexLock lock(stop_mutex_);
    if (stop_ != nullptr) return stop_->token();
    stop = stop_ = std::make_shared<StopRequest>(core_.canceller);
    // A cancel that came before there was somebody to tell.
    if (cancelled_.load(std::memory_order_relaxed)) stop->MakeNow();
  }
  if (deadline_ != base::kNever) {
    auto timer = transport::StartTimer(deadline_, [stop] { stop->Post(); });
    // It cannot fail: the connection keeps the monitor alive.
    if (timer.ok()) stop_at_deadline_ = *std::move(timer);
  }
  return stop->token();
}

void ServerCallImpl::MarkCancelled() {
  base::MutexLock lock(stop_mutex_);
  cancelled_.store(true, std::memory_order_release);
  if (stop_ != nullptr) stop_->Post();
  // The session's lock, which is held, guards it.
  if (session::Stream* const state = ActiveCall::stream(); state != nullptr) state->Wake();
}

}  // namespace nearcall::rpc
