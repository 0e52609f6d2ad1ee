// SPDX-License-Identifier: Apache-2.0
#include "session/callers.h"

#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/exec_state.h"
#include "base/no_memory.h"

namespace nearcall::session {

namespace {

absl::Status OverQuota(const base::Allowance& memory) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the client's user has ", memory.taken().count(), " calls under way, which hold ", memory.taken().bytes(),
      " B; another call to the client is over its part of ", "ServerOptions::max_total_calls and max_total_bytes"));
}

}  // namespace

Callers::Begun Callers::TryBegin(ClientCall& call) {
  base::MutexLock lock(mutex_);
  if (!call.failure.ok()) return Begun::kEnded;
  if (!end_.usable()) return Begun::kGone;
  if (!line_.IsNext(*call.waiting, call.lane)) {
    line_.Stand(*call.waiting, call.lane);
    return Begun::kFull;
  }
  const size_t cost = call.stream == nullptr ? 0 : back_.stream_cost;
  if (!call.reply.charge.TryTake(back_.memory, base::Amount::Of(1, cost))) {
    SlotLine::Leave(*call.waiting);
    line_.TellNext(role_);
    call.failure = base::WithExecState(OverQuota(*back_.memory), ExecState::kNotSent);
    return Begun::kEnded;
  }
  calls_.Insert(call);
  SlotLine::Leave(*call.waiting);
  // Several slots may have become free at once, and all who gave them back have told the same one.
  line_.TellNext(role_);
  return Begun::kYes;
}

void Callers::LeaveLine(Waiting& waiting) {
  base::MutexLock lock(mutex_);
  SlotLine::Leave(waiting);
  line_.TellNext(role_);
}

bool Callers::Fail(ClientCall& call, absl::Status failure) {
  base::MutexLock lock(mutex_);
  if (call.id == 0) {
    // SUBTLE: the first failure stays, for its owner may be reading it.
    if (!call.failure.ok()) return false;
    call.failure = base::WithExecState(std::move(failure), ExecState::kNotSent);
    role_.Tell(*call.waiting);
    return false;
  }
  if (calls_.Take(call.id) == nullptr) return false;
  if (call.stream != nullptr) call.stream->GiveUp();
  End(call, std::move(failure));
  return true;
}

void Callers::FailAll() {
  base::MutexLock lock(mutex_);
  for (ClientCall* call : calls_.TakeAll()) {
    End(*call, base::OrNoMemory([this] { return end_.Failure(); }));
  }
  line_.TellAll(role_);
}

void Callers::End(ClientCall& call, absl::Status failure) {
  call.failure = std::move(failure);
  // The call may be gone when it has been completed.
  const Waiting* waiting = call.waiting;
  const Waiting* writing = call.stream == nullptr ? waiting : &call.stream->writing();
  call.Complete();
  role_.InterruptIfReader(waiting);
  if (writing != waiting) role_.InterruptIfReader(writing);
}

absl::StatusOr<ClientCall*> Callers::TakeAnswered(const wire::FrameHeader& reply) {
  base::MutexLock lock(mutex_);
  const ClientCall* const call = calls_.Call(reply.call_id);
  if (call != nullptr && call->method_id != reply.method_id) {
    return absl::InternalError("a reply carries another method than its call");
  }
  ClientCall* const answered = calls_.TakeAnswered(reply.call_id);
  // It was cancelled, or past its deadline, and has had the slot until now.
  if (answered == nullptr) line_.TellNext(role_);
  // Its owner may take his time: a stream that has ended is read on.
  HangUpIfOver();
  return answered;
}

absl::Status Callers::Deliver(wire::Message& message) {
  base::MutexLock lock(mutex_);
  const absl::StatusOr<ClientCall*> call = calls_.StreamOf(message.header);
  if (!call.ok() || *call == nullptr) return call.status();
  return (*call)->stream->Take(message);
}

absl::Status Callers::FailStream(const wire::FrameHeader& header, absl::Status failure) {
  {
    base::MutexLock lock(mutex_);
    const absl::StatusOr<ClientCall*> call = calls_.StreamOf(header);
    if (!call.ok() || *call == nullptr) return call.status();
    End(*calls_.Take(header.call_id), std::move(failure));
  }
  // Else its handler would wait for credit that nobody gives.
  end_.SendCancel(header.call_id);
  return absl::OkStatus();
}

void Callers::NoteUnsent(uint64_t call_id) {
  base::MutexLock lock(mutex_);
  NEARCALL_CHECK(calls_.TakeAnswered(call_id) == nullptr);
  line_.TellNext(role_);
}

void Callers::Release(ClientCall& call, base::Buffer& memory) {
  base::MutexLock lock(mutex_);
  calls_.Release(call, memory);
  call.reply.charge.Release();
  line_.TellNext(role_);
  HangUpIfOver();
}

void Callers::Retire() {
  base::MutexLock lock(mutex_);
  // SUBTLE: under the lock. Whoever has a slot in the table began before, and nobody gets one afterwards.
  end_.NoteGoingAway();
  line_.TellAll(role_);
  HangUpIfOver();
}

void Callers::NoteServed(bool begins) {
  base::MutexLock lock(mutex_);
  served_.any = true;
  served_.under_way = begins ? served_.under_way + 1 : served_.under_way - 1;
  HangUpIfOver();
}

void Callers::HangUpIfOver() {
  if (!end_.going_away() || calls_.open() != 0 || end_.dead()) return;
  // What it has answered must have left.
  if (served_.under_way != 0 || (served_.any && outbox_.has_waiting())) return;
  end_.HangUp();
}

void Callers::Tell(Waiting& waiting) {
  base::MutexLock lock(mutex_);
  role_.Tell(waiting);
}

void Callers::InterruptReader() {
  base::MutexLock lock(mutex_);
  role_.InterruptReader();
}

void Callers::TellNext() {
  base::MutexLock lock(mutex_);
  line_.TellNext(role_);
  if (served_.any) HangUpIfOver();
}

Callers::Slots Callers::slots() {
  base::MutexLock lock(mutex_);
  return {.in_use = calls_.in_use(), .given_up = calls_.given_up()};
}

std::string Callers::WhyFull() {
  base::MutexLock lock(mutex_);
  return line_.WhyFull(end_.server());
}

}  // namespace nearcall::session
