// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/open_call.h"

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/no_memory.h"
#include "rpc/message_writer.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

using internal::Tried;

OpenCall::OpenCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
    : AsyncCall(method, options, max_message_size, &last_metadata_), reading_(*this), writing_(*this) {}

// --- the way of the call ---

void OpenCall::Cancel() {
  base::MutexLock lock(cancel_mutex_);
  cancelled_ = true;
  if (cancel_) cancel_();
}

void OpenCall::ListenForStop(std::function<void()> cancel) {
  if (streams()) {
    base::MutexLock lock(mutex_);
    listens_ = true;
  }
  {
    base::MutexLock lock(cancel_mutex_);
    cancel_ = cancel;
    if (cancelled_) cancel_();
  }
  AsyncCall::ListenForStop(std::move(cancel));
}

void OpenCall::StopListening() {
  AsyncCall::StopListening();
  {
    base::MutexLock lock(cancel_mutex_);
    cancel_ = nullptr;
  }
  if (!streams()) return;
  base::MutexLock lock(mutex_);
  listens_ = false;
  if (completions == nullptr) return;
  completions->Forget(reading_);
  completions->Forget(writing_);
}

void OpenCall::PrepareFor(const std::shared_ptr<session::ClientSession>& session) {
  if (!streams()) return;
  const session::Stream::Terms terms = {.peer_is_caller = false,
                                        .peer_streams = server_streams(),
                                        .send_window = session->send_window(),
                                        .receive_window = session->receive_window()};
  AttemptPtr fresh = std::make_shared<OpenAttempt>(session, terms, reading_.waiting(), writing_.waiting());
  stream = &fresh->stream;
  base::MutexLock lock(mutex_);
  prepared_.swap(fresh);
}

OpenCall::AttemptPtr OpenCall::present_attempt() {
  base::MutexLock lock(mutex_);
  if (prepared_ != nullptr) prepared_->element = request().ElementHeader(id);
  return prepared_;
}

void OpenCall::NoteOpened(const AttemptPtr& present) {
  base::MutexLock writing(write_mutex_);
  {
    base::MutexLock lock(mutex_);
    // It may have ended, and have been started over, since it was sent.
    if (prepared_ != present) return;
    open_ = present;
    if (listens_) writing_.waiting().Poke();
    if (!client_streams() || !writes_done_) return;
    settled_ = true;
    NoteSending(*present->session);
  }
  SendHalfClose(*present);
}

bool OpenCall::StartOver() {
  AttemptPtr prepared;
  AttemptPtr open;
  base::MutexLock lock(mutex_);
  if (settled_ || !AsyncCall::StartOver()) return false;
  stream = nullptr;
  prepared.swap(prepared_);
  open.swap(open_);
  return true;
}

void OpenCall::End(base::Buffer& spare) {
  {
    base::MutexLock lock(mutex_);
    ended_ = true;
  }
  reading_.Tell();
  writing_.Tell();
  base::MutexLock lock(mutex_);
  if (done_with_.size() != 0) spare = std::move(done_with_);
}

void OpenCall::GiveUp(session::ClientSession& session, absl::Status why) {
  if (session.callers().Fail(*this, std::move(why))) session.TellCancelled(*this);
}

// --- who reads ---

Tried OpenCall::Look(AttemptPtr& open, session::Arrivals& arrivals, std::optional<std::string>* initial) {
  base::MutexLock lock(mutex_);
  open = open_;
  // Before the look: what had come before the end has come then.
  const bool over = ended_;
  if (open == nullptr) return over ? Tried::kOver : Tried::kNotYet;
  if (open->stream.given_up()) {
    arrivals.Clear();
    return Tried::kOver;
  }
  const bool some = open->session->callers().Locked([&] {
    if (initial != nullptr) *initial = open->stream.initial_envelope();
    return open->stream.TakeArrivals(arrivals);
  });
  settled_ = settled_ || some || (initial != nullptr && initial->has_value());
  if (some) return Tried::kDone;
  return over ? Tried::kOver : Tried::kNotYet;
}

void OpenCall::GiveCredit(OpenAttempt& open, size_t element_size) {
  const uint32_t credit = open.read.Read(element_size);
  if (credit == 0) return;
  {
    base::MutexLock lock(mutex_);
    if (ended_) return;
    open.session->callers().Locked([&] { open.stream.OpenWindow(credit); });
    NoteSending(*open.session);
  }
  wire::FrameHeader header = open.element;
  header.kind = wire::FrameKind::kCredit;
  header.message_size = credit;
  base::Buffer nothing;
  open.session->Post(header, nothing, session::Outbox::HandOver::kNow);
}

bool OpenCall::ended() {
  base::MutexLock lock(mutex_);
  return ended_;
}

absl::Status OpenCall::TakeReply(google::protobuf::MessageLite* to) {
  absl::Status ended = status();
  if (ended.ok() && to != nullptr && !request().one_way()) ended = request().Parse(answer(), *to);
  base::MutexLock lock(mutex_);
  done_with_ = std::move(answer().bytes);
  return ended;
}

// --- who writes ---

Tried OpenCall::TryWrite(const google::protobuf::MessageLite& element, bool last) {
  base::MutexLock writing(write_mutex_);
  writing_.ForgetNews();
  const size_t size = element.ByteSizeLong();
  AttemptPtr open;
  absl::Status why;
  const Tried begun = BeginElement(size, last, open, why);
  if (!why.ok()) GiveUp(*open->session, std::move(why));
  if (begun != Tried::kDone) return begun;
  wire::FrameHeader header = open->element;
  if (last) header.flags |= wire::kEnd;
  return Send(*open, header, &element, size) ? Tried::kDone : Tried::kOver;
}

// kOver with a `why`: the call is to end with it.
Tried OpenCall::BeginElement(size_t size, bool last, AttemptPtr& open, absl::Status& why) {
  base::MutexLock lock(mutex_);
  if (ended_ || writes_done_ || !client_streams()) return Tried::kOver;
  open = open_;
  if (open == nullptr) return Tried::kNotYet;
  session::ClientSession& session = *open->session;
  why = request().CheckElement(size, session);
  if (!why.ok() || open->stream.given_up()) return Tried::kOver;
  if (session.callers().Locked([&] { return open->stream.BeginElement(size); })) {
    settled_ = true;
    writes_done_ = last;
    NoteSending(session);
    return Tried::kDone;
  }
  if (!request().fail_fast()) return Tried::kNotYet;
  why = session.server().NoCredit();
  return Tried::kOver;
}

bool OpenCall::WritesDone() {
  base::MutexLock writing(write_mutex_);
  return HalfClose();
}

bool OpenCall::HalfClose() {
  AttemptPtr open;
  {
    base::MutexLock lock(mutex_);
    if (ended_ || writes_done_ || !client_streams()) return false;
    open = open_;
    // SUBTLE: who reads may hear of a cancel before the server does. A half-close now would tell the handler that all
    // has been sent.
    if (open != nullptr && open->stream.given_up()) return false;
    writes_done_ = true;
    if (open == nullptr) return true;  // when it is open
    settled_ = true;
    NoteSending(*open->session);
  }
  return SendHalfClose(*open);
}

bool OpenCall::SendHalfClose(OpenAttempt& open) {
  wire::FrameHeader header = open.element;
  header.kind = wire::FrameKind::kHalfClose;
  return Send(open, header, nullptr, 0);
}

// What finds no room is kept in the outbox: it is no more than the server has granted.
bool OpenCall::Send(OpenAttempt& open, const wire::FrameHeader& header, const google::protobuf::MessageLite* element,
                    size_t size) {
  session::ClientSession& session = *open.session;
  const absl::Status sent = base::OrNoMemory([&] {
    const Written written =
        WriteMessage(session.outbox(), session.max_frame_size(), header, {}, element, size, &open.flow);
    return written == Written::kAll ? absl::OkStatus() : request().ElementChanged();
  });
  if (!sent.ok()) {
    GiveUp(session, sent);
    return false;
  }
  session.WakeReaderForRest();
  return true;
}

// Something that is answered is about to be sent: who waits for the connection rings for it, if that is late. (Not
// after the end: then nobody waits.)
void OpenCall::NoteSending(session::ClientSession& session) {
  if (ended_ || waiting->since.load(std::memory_order_relaxed) != 0) return;
  waiting->Await(base::NowNs());
  session.callers().Tell(*waiting);
}

}  // namespace nearcall::rpc
