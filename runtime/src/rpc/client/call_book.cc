// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_book.h"

#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"

namespace nearcall::rpc {

void Opening::Post(AsyncCall& call, session::Outbox::HandOver when) const {
  try {
    session->poster().Post(header, call.bytes(), when, attempt == nullptr ? nullptr : &attempt->flow,
                           call.descriptors());
  } catch (const std::bad_alloc&) {
    session->callers().Fail(call, base::NoMemory());
    session->callers().NoteUnsent(header.call_id);
    return;
  }
  if (attempt != nullptr) call.NoteOpened(attempt);
}

void CallBook::Adopt(const std::shared_ptr<AsyncCall>& call) {
  call->self = call;
  call->started = true;
}

CallBook::Begun CallBook::TryBegin(AsyncCall& call) {
  if (absl::Status status = call.FitTo(*session_); !status.ok()) {
    call.failure = std::move(status);
    return Begun::kEnded;
  }
  // Before it is in flight: what needs memory. (One that has waited is there already.)
  const bool noted = deadlines_.Note(call);
  Begun begun;
  try {
    call.PrepareFor(session_);
    begun = session_->callers().TryBegin(call);
  } catch (const std::bad_alloc&) {
    if (noted) deadlines_.Forget(call);
    throw;
  }
  stands_in_slot_line_ = begun == Begun::kFull || (stands_in_slot_line_ && begun != Begun::kYes);
  if (begun == Begun::kYes) {
    line_.Leave(call);
    in_flight_.PushBack(call);
    if (call.stream == nullptr) ++replies_due_;
  } else if (noted) {
    deadlines_.Forget(call);
  }
  return begun;
}

void CallBook::LeaveSlotLine() {
  if (std::exchange(stands_in_slot_line_, false)) session_->callers().LeaveLine(queue_.waiting());
}

bool CallBook::MayWait(const AsyncCall& call) {
  return line_.empty() || BytesWaiting() + StartLine::CostOf(call) <= options_.max_queued_bytes;
}

// Here, and in the session.
size_t CallBook::BytesWaiting() {
  return line_.bytes() + (session_ == nullptr ? 0 : session_->outbox().held().all());
}

absl::Status CallBook::NoRoom() {
  return absl::ResourceExhaustedError(absl::StrCat(
      BytesWaiting(), " B of asynchronous calls wait for their turn already (ChannelOptions::max_queued_bytes is ",
      options_.max_queued_bytes, " B, max_calls_in_flight ", options_.max_calls_in_flight, "); retry later"));
}

void CallBook::Enqueue(AsyncCall& call) {
  line_.Enter(call);
  deadlines_.Note(call);
  Wake();
}

void CallBook::TakeOut(AsyncCall& call) {
  base::ListNode<AsyncCall>& place = call;
  if (!place.linked()) return;
  if (call.queued) {
    line_.Leave(call);
  } else {
    place.Unlink();
    if (call.stream == nullptr) --replies_due_;
  }
  deadlines_.Forget(call);
}

void CallBook::End(AsyncCall& call, absl::Status status) {
  TakeOut(call);
  call.EndUnsent(std::move(status));
  queue_.Push(call);
  Wake();
}

void CallBook::Cancel(AsyncCall& call) {
  base::ListNode<AsyncCall>& place = call;
  if (place.linked() && call.id != 0) return session_->Cancel(call);
  absl::Status cancelled = absl::CancelledError("the call was cancelled by its caller");
  if (place.linked()) {
    End(call, std::move(cancelled));
  } else if (!call.started) {
    call.EndUnsent(std::move(cancelled));
  }
}

void CallBook::CancelAll() {
  const auto cancel = [this](AsyncCall& call) {
    if (!call.is_local()) Cancel(call);
    return false;
  };
  line_.ForEach(cancel);
  in_flight_.ForEachUntil(cancel);
}

void CallBook::Expire(base::SteadyNs now) {
  while (AsyncCall* const overdue = deadlines_.PopOverdue(now)) {
    AsyncCall& call = *overdue;
    if (call.id == 0) {
      End(call, absl::DeadlineExceededError(
                    absl::StrCat("the deadline of ", call.request().method().full_name,
                                 session_ == nullptr ? " passed while the call waited for a server"
                                                     : " passed while the call waited for its turn to be sent")));
      continue;
    }
    // The call may be gone when it has failed.
    const uint64_t id = call.id;
    const bool streams = call.stream != nullptr;
    if (session_->callers().Fail(call, session_->Late("no reply", call)) && streams) session_->end().SendCancel(id);
  }
}

void CallBook::FailInFlight(const absl::Status& status) {
  in_flight_.ForEachUntil([&](AsyncCall& call) {
    session_->callers().Fail(call, status);
    return false;
  });
}

void CallBook::Wake() {
  if (session_ != nullptr) {
    session_->callers().Tell(queue_.waiting());
  } else {
    queue_.Poke();
  }
}

}  // namespace nearcall::rpc
