// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/open_stream_call.h"

#include <string>
#include <utility>

#include "base/clock.h"
#include "base/no_memory.h"
#include "rpc/message_writer.h"
#include "session/completion_queue.h"

namespace nearcall::rpc {

using internal::Tried;

OpenStreamCall::OpenStreamCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
    : OpenCall(method, options, max_message_size),
      client_streams_(internal::ClientStreams(method.kind)),
      writing_(*this) {}

// --- the way of the call ---

void OpenStreamCall::ListenForStop(std::function<void()> cancel) {
  {
    base::MutexLock lock(mutex_);
    listens_ = true;
  }
  OpenCall::ListenForStop(std::move(cancel));
}

void OpenStreamCall::StopListening() {
  OpenCall::StopListening();
  base::MutexLock lock(mutex_);
  listens_ = false;
  if (completions == nullptr) return;
  completions->Forget(reading());
  completions->Forget(writing_);
}

void OpenStreamCall::PrepareFor(const std::shared_ptr<session::ClientSession>& session) {
  const session::Stream::Terms terms = {.peer_is_caller = false,
                                        .peer_streams = internal::ServerStreams(request().method().kind),
                                        .send_window = session->terms().send_window,
                                        .receive_window = session->terms().receive_window};
  AttemptPtr fresh = std::make_shared<OpenAttempt>(session, terms, reading().waiting(), writing_.waiting());
  stream = &fresh->stream;
  base::MutexLock lock(mutex_);
  prepared_.swap(fresh);
}

OpenStreamCall::AttemptPtr OpenStreamCall::present_attempt() {
  base::MutexLock lock(mutex_);
  prepared_->element = request().elements().Header(id);
  return prepared_;
}

void OpenStreamCall::NoteOpened(const AttemptPtr& present) {
  base::MutexLock writing(write_mutex_);
  {
    base::MutexLock lock(mutex_);
    // It may have ended, and have been started over, since it was sent.
    if (prepared_ != present) return;
    open_ = present;
    if (listens_) writing_.waiting().Poke();
    if (!client_streams_ || !writes_done_) return;
    settled_ = true;
    NoteSending(*present->session);
  }
  SendHalfClose(*present);
}

bool OpenStreamCall::StartOver() {
  AttemptPtr prepared;
  AttemptPtr open;
  base::MutexLock lock(mutex_);
  if (settled_ || !OpenCall::StartOver()) return false;
  stream = nullptr;
  prepared.swap(prepared_);
  open.swap(open_);
  return true;
}

void OpenStreamCall::End(base::Buffer& spare) {
  {
    // Who sends something looks there whether anybody waits for an answer.
    base::MutexLock lock(mutex_);
    set_ended();
  }
  OpenCall::End(spare);
  writing_.Tell();
}

void OpenStreamCall::GiveUp(session::ClientSession& session, absl::Status why) {
  if (session.callers().Fail(*this, std::move(why))) session.end().SendCancel(id);
}

// --- who reads ---

Tried OpenStreamCall::Look(AttemptPtr& open, session::Arrivals& arrivals, std::optional<std::string>* initial) {
  base::MutexLock lock(mutex_);
  open = open_;
  // Before the look: what had come before the end has come then.
  const bool over = ended();
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

void OpenStreamCall::GiveCredit(OpenAttempt& open, size_t element_size) {
  const uint32_t credit = open.read.Read(element_size);
  if (credit == 0) return;
  {
    base::MutexLock lock(mutex_);
    if (ended()) return;
    open.session->callers().Locked([&] { open.stream.OpenWindow(credit); });
    NoteSending(*open.session);
  }
  wire::FrameHeader header = open.element;
  header.kind = wire::FrameKind::kCredit;
  header.message_size = credit;
  base::Buffer nothing;
  open.session->poster().Post(header, nothing, session::Outbox::HandOver::kNow);
}

// --- who writes ---

Tried OpenStreamCall::TryWrite(const google::protobuf::MessageLite& element, bool last,
                               std::span<const int> descriptors, std::span<const Buffer> attachments) {
  base::MutexLock writing(write_mutex_);
  writing_.ForgetNews();
  const size_t size = element.ByteSizeLong();
  AttemptPtr open;
  absl::Status why;
  Enclosed enclosed{.descriptors = descriptors, .buffers = attachments};
  const Tried begun = BeginElement(size, enclosed, last, open, why);
  if (!why.ok()) GiveUp(*open->session, std::move(why));
  if (begun != Tried::kDone) return begun;
  wire::FrameHeader header = open->element;
  if (last) header.flags |= wire::kEnd;
  enclosed.attached.Announce(header, descriptors);
  const std::span<const int> all = enclosed.attached.DescriptorsBeside(descriptors);
  return Send(*open, header, &element, size, all, &enclosed.attached) ? Tried::kDone : Tried::kOver;
}

// kOver with a `why`: the call is to end with it.
Tried OpenStreamCall::BeginElement(size_t size, Enclosed& enclosed, bool last, AttemptPtr& open, absl::Status& why) {
  base::MutexLock lock(mutex_);
  if (ended() || writes_done_ || !client_streams_) return Tried::kOver;
  open = open_;
  if (open == nullptr) return Tried::kNotYet;
  session::ClientSession& session = *open->session;
  absl::StatusOr<Attached> attached = base::OrNoMemory(
      [&] { return request().elements().Enclose(size, enclosed.buffers, enclosed.descriptors, session); });
  why = attached.status();
  if (!why.ok() || open->stream.given_up()) return Tried::kOver;
  enclosed.attached = *std::move(attached);
  const size_t cost = size + enclosed.attached.total();
  if (session.callers().Locked([&] { return open->stream.BeginElement(cost); })) {
    settled_ = true;
    writes_done_ = last;
    NoteSending(session);
    return Tried::kDone;
  }
  if (!request().fail_fast()) return Tried::kNotYet;
  why = session.end().server().NoCredit();
  return Tried::kOver;
}

bool OpenStreamCall::WritesDone() {
  if (!client_streams_) return false;
  base::MutexLock writing(write_mutex_);
  AttemptPtr open;
  {
    base::MutexLock lock(mutex_);
    if (ended() || writes_done_) return false;
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

bool OpenStreamCall::SendHalfClose(OpenAttempt& open) {
  wire::FrameHeader header = open.element;
  header.kind = wire::FrameKind::kHalfClose;
  return Send(open, header, nullptr, 0);
}

// What finds no room is kept in the outbox: it is no more than the server has granted.
bool OpenStreamCall::Send(OpenAttempt& open, const wire::FrameHeader& header,
                          const google::protobuf::MessageLite* element, size_t size, std::span<const int> descriptors,
                          const Attached* attached) {
  session::ClientSession& session = *open.session;
  const absl::Status sent = base::OrNoMemory([&]() -> absl::Status {
    absl::StatusOr<base::Descriptors> kept = base::Descriptors::Duplicate(descriptors, nullptr);
    if (!kept.ok()) return kept.status();
    const Written written = WriteMessage(session.outbox(), session.transport().max_frame_size(), header, {}, element,
                                         size, &open.flow, Shared(*std::move(kept)), attached);
    return written == Written::kAll ? absl::OkStatus() : request().elements().Changed();
  });
  if (!sent.ok()) {
    GiveUp(session, sent);
    return false;
  }
  session.poster().WakeReaderForRest();
  return true;
}

// Something that is answered is about to be sent: who waits for the connection rings for it, if that is late. (Not
// after the end: then nobody waits.)
void OpenStreamCall::NoteSending(session::ClientSession& session) {
  if (ended() || waiting->since.load(std::memory_order_relaxed) != 0) return;
  waiting->Await(base::NowNs());
  session.callers().Tell(*waiting);
}

}  // namespace nearcall::rpc
