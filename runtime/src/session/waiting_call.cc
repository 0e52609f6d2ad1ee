// SPDX-License-Identifier: Apache-2.0
#include "session/waiting_call.h"

#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/no_memory.h"
#include "session/client_session.h"

namespace nearcall::session {

namespace {

using Begun = Callers::Begun;

}  // namespace

absl::Status WaitingCall::Begin(bool fail_fast) try {
  caller_.lane = lane;
  Callers& callers = session_.callers();
  Begun begun = callers.TryBegin(*this);
  // Reading, if nobody else does: what waits for room may belong to calls that have ended, and the replies to those
  // that were given up may have come. The latter is worth a look in any case.
  if (begun == Begun::kFull && (!fail_fast || callers.slots().given_up != 0)) {
    caller_.Await(base::NowNs());  // where nobody waits for a reply, nobody else rings
    session_.readers().Wait(caller_, fail_fast ? 0 : deadline,
                            [&] { return begun != Begun::kFull || (begun = callers.TryBegin(*this)) != Begun::kFull; });
    caller_.AwaitNothing();
  }
  if (begun == Begun::kYes) return absl::OkStatus();
  callers.LeaveLine(caller_);
  if (begun == Begun::kGone) {
    callers.Fail(*this, session_.end().Failure());
  } else if (begun == Begun::kFull) {
    const std::string why = callers.WhyFull();
    callers.Fail(*this, fail_fast ? absl::ResourceExhaustedError(why) : absl::DeadlineExceededError(why));
  }
  return failure;
} catch (const std::bad_alloc&) {
  session_.callers().LeaveLine(caller_);
  return base::NoMemory();
}

bool WaitingCall::TrySend(const wire::FrameHeader& header, size_t size, Outbox::Write write) {
  if (finished() || !session_.outbox().TrySend(header, size, write)) return false;
  NoteSent();
  session_.poster().WakeReaderForRest();
  return true;
}

bool WaitingCall::Send(Outgoing& message, bool fail_fast) {
  Outbox& outbox = session_.outbox();
  message.sender = &caller_.waiter;
  const bool first = !message.started;
  if (!finished()) {
    if (outbox.Offer(message)) {
      sent_any_ = true;
      if (message.fragmenter.done()) NoteSent();
      session_.poster().WakeReaderForRest();
      return true;
    }
    if (first && fail_fast) {
      Fail(absl::ResourceExhaustedError(absl::StrCat(
               "no room in the ", session_.end().server().transport, " transport to ", session_.end().server().address,
               ": the server is not keeping up; retry later or let the call wait")),
           message);
      return false;
    }
    session_.callers().InterruptReader();
    WaitForRoom(caller_, message);
  }
  if (!finished() && !outbox.Waits(message)) {
    sent_any_ = message.started;
    if (message.fragmenter.done()) NoteSent();
    return true;
  }
  Fail(absl::DeadlineExceededError(absl::StrCat("deadline passed while the request waited for room in the ",
                                                session_.end().server().transport, " transport to ",
                                                session_.end().server().address)),
       message);
  return false;
}

// SUBTLE: the message is its sender's, and may be gone as soon as he sees the exception.
void WaitingCall::WaitForRoom(Waiting& me, Outgoing& message) try {
  // There is none before the server's leader reads, who may be stuck.
  me.Await(base::NowNs());
  session_.readers().Wait(me, deadline, [&] { return !session_.outbox().Waits(message); });
  me.AwaitNothing();
  session_.callers().TellNext();  // fewer bytes wait now
} catch (const std::bad_alloc&) {
  session_.outbox().Withdraw(message);
  throw;
}

void WaitingCall::NoteSent() {
  sent_ = sent_any_ = true;
  caller_.Await(started);
}

void WaitingCall::Fail(absl::Status why, Outgoing& message) {
  session_.outbox().Withdraw(message);
  sent_any_ = message.started;
  // The last frame may have gone in the last moment.
  if (message.fragmenter.done()) NoteSent();
  Fail(std::move(why));
}

void WaitingCall::Fail(absl::Status why) {
  session_.callers().Fail(*this, std::move(why));
  // Somebody may be just ending it.
  while (!finished()) caller_.waiter.Wait(base::kNever);
  NoteWhatWasSent();
}

void WaitingCall::Wait() {
  session_.readers().Wait(caller_, deadline, [] { return false; });
  if (finished()) {
    NoteWhatWasSent();
  } else {
    Fail(session_.Late("no reply", *this));
  }
  if (sent_ && caller_.slept) session_.readers().LearnWhatIsLate(caller_, base::NowNs());
}

// What has not been sent will not be, for the connection is just ending: Wait() sees that.
bool WaitingCall::LetGo() {
  Outbox& outbox = session_.outbox();
  bool handed_over = sent_;
  if (sent_ && outbox.has_waiting()) {
    const uint64_t frames = outbox.frames_sent();
    session_.readers().Wait(caller_, deadline, [&] { return outbox.HasHandedOver(frames); });
    handed_over = outbox.HasHandedOver(frames);
  }
  if (!handed_over) {
    Wait();
    return false;
  }
  Fail(absl::OkStatus());
  return true;
}

// Who ends a call from outside cannot know how much of its request has gone: "maybe executed" is what they say. The
// owner knows better.
void WaitingCall::NoteWhatWasSent() {
  if (failure.ok() || sent_ || ExecStateOf(failure) != ExecState::kMaybeExecuted) return;
  failure = base::WithExecState(std::move(failure), ExecState::kNotSent);
}

void WaitingCall::Release() {
  if (!sent_any_) session_.callers().NoteUnsent(id);
  session_.callers().Release(*this, reply.bytes);
}

}  // namespace nearcall::session
