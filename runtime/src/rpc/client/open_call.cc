// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/open_call.h"

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/exec_state.h"
#include "base/fork.h"
#include "base/no_memory.h"
#include "rpc/message_writer.h"
#include "session/completion_queue.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

using internal::Tried;

OpenCall::OpenCall(const internal::MethodInfo& method, const CallOptions& options, size_t max_message_size)
    : AsyncCall(method, options, max_message_size, &last_metadata_), reading_(*this), writing_(*this) {}

// --- the way of the call ---

void OpenCall::EndUnbegun() {
  base::Buffer spare;
  TakeAnswer(spare);
  End(spare);
}

void OpenCall::Cancel() {
  base::MutexLock lock(cancel_mutex_);
  cancelled_ = true;
  if (cancel_) cancel_();
}

void OpenCall::ListenForStop(std::function<void()> cancel) {
  {
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
  read_.emplace(session->receive_window());
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

// Ends it with `why`, unless it has ended, and tells the server.
void OpenCall::GiveUp(session::ClientSession& session, absl::Status why) {
  if (session.callers().Fail(*this, std::move(why))) session.TellCancelled(*this);
}

// --- who reads ---

// Takes what has come. kDone: `mine_` is not empty. `open`: null, if it is not open yet.
Tried OpenCall::Look(AttemptPtr& open) {
  base::MutexLock lock(mutex_);
  open = open_;
  // Before the look: what had come before the end has come then.
  const bool over = ended_;
  if (open == nullptr) return over ? Tried::kOver : Tried::kNotYet;
  if (open->stream.given_up()) {
    mine_.Clear();
    return Tried::kOver;
  }
  if (!mine_.empty()) return Tried::kDone;
  const bool some = open->session->callers().Locked([&] {
    if (!has_initial_) initial_envelope_ = open->stream.initial_envelope();
    return open->stream.TakeArrivals(mine_);
  });
  settled_ = settled_ || some || initial_envelope_.has_value();
  if (some) return Tried::kDone;
  return over ? Tried::kOver : Tried::kNotYet;
}

Tried OpenCall::TryRead(google::protobuf::MessageLite& element) {
  reading_.ForgetNews();
  AttemptPtr open;
  const Tried looked = Look(open);
  if (looked != Tried::kDone) {
    if (looked == Tried::kOver) element.Clear();
    return looked;
  }
  const absl::Status read = base::OrNoMemory([&] {
    if (!TakeInitial(*open)) return absl::OkStatus();
    const size_t size = mine_.front().size();
    absl::Status parsed = request().ParseElement(mine_.front(), element);
    mine_.Pop();
    if (parsed.ok()) GiveCredit(*open, size);
    return parsed;
  });
  if (read.ok() && has_initial_) return Tried::kDone;
  if (!read.ok()) GiveUp(*open->session, read);
  element.Clear();
  return Tried::kOver;
}

// Once something has come of the server. False: what it sent are no metadata, and the call has ended with that.
bool OpenCall::TakeInitial(OpenAttempt& open) {
  if (has_initial_ || !initial_envelope_.has_value()) return true;
  const std::string envelope = *std::exchange(initial_envelope_, std::nullopt);
  if (!envelope.empty()) {
    absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(std::as_bytes(std::span(envelope)));
    if (!metadata.ok()) {
      GiveUp(*open.session, base::WithExecState(metadata.status(), ExecState::kExecuted));
      return false;
    }
    metadata_.initial = *std::move(metadata);
  }
  return has_initial_ = true;
}

void OpenCall::GiveCredit(OpenAttempt& open, size_t element_size) {
  const uint32_t credit = read_->Read(element_size);
  if (credit == 0) return;
  {
    base::MutexLock lock(mutex_);
    if (ended_) return;
  }
  open.session->callers().Locked([&] { open.stream.OpenWindow(credit); });
  wire::FrameHeader header = open.element;
  header.kind = wire::FrameKind::kCredit;
  header.message_size = credit;
  base::Buffer nothing;
  open.session->Post(header, nothing, session::Outbox::HandOver::kNow);
  NoteSent(*open.session);
}

Tried OpenCall::TryInitialMetadata() {
  reading_.ForgetNews();
  if (has_initial_) return Tried::kDone;
  AttemptPtr open;
  const Tried looked = Look(open);
  if (open != nullptr) {
    if (!TakeInitial(*open)) return Tried::kOver;
    if (has_initial_) return Tried::kDone;
  }
  {
    base::MutexLock lock(mutex_);
    if (!ended_) return looked;
  }
  if (!failure.ok()) return Tried::kOver;
  // The reply alone may have brought them.
  metadata_.initial = last_metadata_.initial;
  has_initial_ = true;
  return Tried::kDone;
}

Tried OpenCall::TryFinish(google::protobuf::MessageLite* to, absl::Status& status) {
  reading_.ForgetNews();
  if (!status_.has_value()) {
    if (client_streams()) WritesDone();
    AttemptPtr open;
    while (Look(open) == Tried::kDone) Discard(*open);
    {
      base::MutexLock lock(mutex_);
      if (!ended_) return Tried::kNotYet;
    }
    if (open != nullptr) TakeInitial(*open);
    status_ = base::OrNoMemory([&] { return MakeStatus(to); });
  }
  status = *status_;
  return Tried::kDone;
}

// What was taken is not read, but its credit is given: else the server waits for it until the deadline.
void OpenCall::Discard(OpenAttempt& open) try {
  for (; !mine_.empty(); mine_.Pop()) GiveCredit(open, mine_.front().size());
} catch (const std::bad_alloc&) {
  mine_.Clear();
  GiveUp(*open.session, base::NoMemory());
}

absl::Status OpenCall::MakeStatus(google::protobuf::MessageLite* to) {
  if (!has_initial_) metadata_.initial = std::move(last_metadata_.initial);
  has_initial_ = true;
  metadata_.trailing = std::move(last_metadata_.trailing);
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
  AttemptPtr open;
  {
    base::MutexLock lock(mutex_);
    if (ended_ || writes_done_ || !client_streams()) return Tried::kOver;
    open = open_;
  }
  if (open == nullptr) return Tried::kNotYet;
  const size_t size = element.ByteSizeLong();
  if (!Fits(*open, size)) return Tried::kOver;
  if (const Tried begun = BeginElement(open, size, last); begun != Tried::kDone) return begun;
  wire::FrameHeader header = open->element;
  if (last) header.flags |= wire::kEnd;
  return Send(*open, header, &element, size) ? Tried::kDone : Tried::kOver;
}

bool OpenCall::Fits(OpenAttempt& open, size_t size) {
  const size_t own_limit = request().max_message_size();
  const size_t limit = std::min(own_limit, open.session->peer_max_message_size());
  if (size <= limit) return true;
  const char* const name = limit == own_limit ? "ChannelOptions" : "the server's ServerOptions";
  GiveUp(*open.session,
         absl::ResourceExhaustedError(absl::StrCat("an element of ", request().method().full_name, " has ", size,
                                                   " B, more than ", name, "::max_message_size (", limit, " B)")));
  return false;
}

Tried OpenCall::BeginElement(const AttemptPtr& open, size_t size, bool last) {
  {
    base::MutexLock lock(mutex_);
    if (open_ != open) return Tried::kNotYet;  // it is started over
    if (open->stream.given_up()) return Tried::kOver;
    if (open->session->callers().Locked([&] { return open->stream.BeginElement(size); })) {
      settled_ = true;
      writes_done_ = last;
      return Tried::kDone;
    }
  }
  if (!request().fail_fast()) return Tried::kNotYet;
  GiveUp(*open->session,
         absl::ResourceExhaustedError(absl::StrCat("no credit for an element to ", open->session->server().address,
                                                   ": the server has not read what it was sent")));
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
    writes_done_ = true;
    open = open_;
    if (open == nullptr) return true;  // when it is open
    settled_ = true;
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
    if (written == Written::kAll) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("an element of ", request().method().full_name, " changed while it was serialised"));
  });
  if (!sent.ok()) {
    GiveUp(session, sent);
    return false;
  }
  session.WakeReaderForRest();
  NoteSent(session);
  return true;
}

// Who waits for the connection rings for the answer, if it is late.
void OpenCall::NoteSent(session::ClientSession& session) {
  base::MutexLock lock(mutex_);
  // (After the end nobody waits for it any more.)
  if (ended_ || waiting->since.load(std::memory_order_relaxed) != 0) return;
  waiting->Await(base::NowNs());
  session.callers().Tell(*waiting);
}

// --- what its caller holds ---

namespace {

class Held final : public internal::ClientCall {
 public:
  explicit Held(std::shared_ptr<OpenCall> call) : call_(std::move(call)) {}

  ~Held() override {
    if (fork_guard_.InChild()) {
      // The call, and whatever locks were held, are the parent's.
      static_cast<void>(new auto(std::move(call_)));
      return;
    }
    call_->Cancel();
  }

  Tried TryRead(google::protobuf::MessageLite& element) override {
    return InChild() ? Tried::kOver : call_->TryRead(element);
  }
  Tried TryInitialMetadata() override { return InChild() ? Tried::kOver : call_->TryInitialMetadata(); }
  Tried TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) override {
    if (!InChild()) return call_->TryFinish(reply, status);
    status = absl::FailedPreconditionError("the call was made before fork(); a child must make calls of its own");
    return Tried::kDone;
  }
  bool WhenReadable(internal::Operation& operation) override { return When(call_->reading(), operation); }

  Tried TryWrite(const google::protobuf::MessageLite& element, bool last) override {
    return InChild() ? Tried::kOver : call_->TryWrite(element, last);
  }
  bool WritesDone() override { return !InChild() && call_->WritesDone(); }
  bool WhenWritable(internal::Operation& operation) override { return When(call_->writing(), operation); }

  void Withdraw(internal::Operation& operation) override {
    call_->reading().Withdraw(operation);
    call_->writing().Withdraw(operation);
  }
  void Cancel() override {
    if (!InChild()) call_->Cancel();
  }
  const ResponseMetadata& metadata() const override { return call_->metadata(); }

 private:
  bool InChild() const { return fork_guard_.InChild(); }

  // SUBTLE: what runs the operation may destroy this before When() has returned.
  bool When(Side& side, internal::Operation& operation) {
    const std::shared_ptr<OpenCall> call = call_;
    return side.When(operation);
  }

  const base::ForkGuard fork_guard_;
  std::shared_ptr<OpenCall> call_;
};

}  // namespace

std::unique_ptr<internal::ClientCall> HoldOpenCall(std::shared_ptr<OpenCall> call) {
  return std::make_unique<Held>(std::move(call));
}

}  // namespace nearcall::rpc
