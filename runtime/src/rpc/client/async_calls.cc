// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_calls.h"

#include <algorithm>
#include <new>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"

// AsyncCalls: what its callers' threads do.
namespace nearcall::rpc {

namespace {

using Begun = session::Callers::Begun;

// What a call that waits costs, beside its request too.
size_t CostOf(const AsyncCall& call) {
  return call.request().size() + sizeof(AsyncCall);
}

}  // namespace

AsyncCalls::AsyncCalls(Owner& owner, const ChannelOptions& options, std::shared_ptr<base::Logger> logger,
                       SessionPtr session)
    : options_(options), logger_(std::move(logger)), owner_(&owner), session_(std::move(session)) {}

AsyncCalls::~AsyncCalls() {
  base::MutexLock lock(mutex_);
  if (thread_.IsCurrent()) thread_.Detach();
  if (thread_.joinable()) thread_.Join();
}

AsyncCalls::Started AsyncCalls::Start(const std::shared_ptr<AsyncCall>& call) {
  // From here on it may end at any moment; the caller's reference keeps it alive.
  call->ListenForStop([this, raw = call.get()] { Cancel(*raw); });
  Opening opening;
  Started started;
  {
    base::MutexLock lock(mutex_);
    try {
      started = StartLocked(call);
    } catch (const std::bad_alloc&) {
      // Nobody else knows the call.
      TakeOut(*call);
      call->self = nullptr;
      call->started = false;
      started = Started::kNoThread;
    }
    if (started == Started::kInFlight) opening = OpeningOf(*call);
  }
  if (opening.session != nullptr) {
    Post(opening, *call, session::Outbox::HandOver::kNow);
  } else if (started != Started::kQueued) {
    call->StopListening();
  }
  return started;
}

AsyncCalls::Started AsyncCalls::StartLocked(const std::shared_ptr<AsyncCall>& call) {
  if (absl::Status thread = EnsureThread(); !thread.ok()) {
    if (call->failure.ok()) call->EndUnsent(std::move(thread));
    return Started::kNoThread;
  }
  queue_.Adopt(*call);
  if (!call->failure.ok()) {
    Adopt(call);
    End(*call, call->failure);
    return Started::kQueued;
  }
  if (RetiredLocked()) return Started::kElsewhere;
  const bool at_once = session_ != nullptr && FirstWaiting() == nullptr && !OnItsThread();
  const Begun begun = at_once ? TryBegin(*call) : Begun::kFull;
  if (begun == Begun::kGone) return Started::kElsewhere;
  // Where calls that were given up keep slots, the thread looks whether their replies have come.
  const bool hasty = at_once && call->request().fail_fast() && !session_->callers().has_given_up();
  if (begun == Begun::kFull && (hasty || !MayWait(*call))) call->EndUnsent(NoRoom());
  if (begun != Begun::kYes && call->is_local() && !call->failure.ok()) {
    call->EndUnsent(call->failure);
    return Started::kRefused;
  }
  Adopt(call);
  if (begun == Begun::kYes) {
    if (idle_ || streams_only_ || call->deadline < wakes_at_) Wake();
    return Started::kInFlight;
  }
  if (call->failure.ok()) {
    Enqueue(*call);
  } else {
    End(*call, call->failure);
  }
  return Started::kQueued;
}

AsyncCalls::Opening AsyncCalls::OpeningOf(AsyncCall& call) {
  return {session_, call.request().Header(call.id), call.present_attempt()};
}

void AsyncCalls::Post(const Opening& opening, AsyncCall& call, session::Outbox::HandOver when) {
  session::ClientSession& session = *opening.session;
  const std::shared_ptr<OpenAttempt>& stream = opening.stream;
  try {
    session.Post(opening.header, call.bytes(), when, stream == nullptr ? nullptr : &stream->flow);
  } catch (const std::bad_alloc&) {
    session.callers().Fail(call, base::NoMemory());
    session.callers().NoteUnsent(opening.header.call_id);
    return;
  }
  if (stream != nullptr) call.NoteOpened(stream);
}

void AsyncCalls::Adopt(const std::shared_ptr<AsyncCall>& call) {
  call->self = call;
  call->started = true;
}

Begun AsyncCalls::TryBegin(AsyncCall& call) {
  if (absl::Status status = call.request().CheckPeerLimit(*session_); !status.ok()) {
    call.failure = std::move(status);
    return Begun::kEnded;
  }
  // Before it is in flight: what needs memory. (One that has waited is there already.)
  bool noted = false;
  if (call.deadline != base::kNever) noted = deadlines_.emplace(call.deadline, &call).second;
  Begun begun;
  try {
    call.PrepareFor(session_);
    begun = session_->callers().TryBegin(call);
  } catch (const std::bad_alloc&) {
    if (noted) deadlines_.erase({call.deadline, &call});
    throw;
  }
  if (begun == Begun::kYes) {
    LeaveQueue(call);
    in_flight_.PushBack(call);
    if (call.stream == nullptr) ++replies_due_;
  } else if (noted) {
    deadlines_.erase({call.deadline, &call});
  }
  return begun;
}

bool AsyncCalls::MayWait(const AsyncCall& call) {
  return FirstWaiting() == nullptr || BytesWaiting() + CostOf(call) <= options_.max_queued_bytes;
}

void AsyncCalls::Enqueue(AsyncCall& call) {
  call.queued = true;
  waiting_[call.lane].PushBack(call);
  waiting_bytes_ += CostOf(call);
  if (call.deadline != base::kNever) deadlines_.emplace(call.deadline, &call);
  Wake();
}

// Here, and in the session.
size_t AsyncCalls::BytesWaiting() {
  return waiting_bytes_ + (session_ == nullptr ? 0 : session_->outbox().bytes_waiting());
}

absl::Status AsyncCalls::NoRoom() {
  return absl::ResourceExhaustedError(absl::StrCat(
      BytesWaiting(), " B of asynchronous calls wait for their turn already (ChannelOptions::max_queued_bytes is ",
      options_.max_queued_bytes, " B, max_calls_in_flight ", options_.max_calls_in_flight, "); retry later"));
}

AsyncCall* AsyncCalls::FirstWaiting() {
  for (size_t i = waiting_.size(); i-- > 0;) {
    if (!waiting_[i].empty()) return waiting_[i].front();
  }
  return nullptr;
}

// Out of the queue, or out of those in flight.
void AsyncCalls::TakeOut(AsyncCall& call) {
  base::ListNode<AsyncCall>& place = call;
  if (!place.linked()) return;
  if (!call.queued && call.stream == nullptr) --replies_due_;
  LeaveQueue(call);
  deadlines_.erase({call.deadline, &call});
}

void AsyncCalls::LeaveQueue(AsyncCall& call) {
  base::ListNode<AsyncCall>& place = call;
  place.Unlink();
  if (std::exchange(call.queued, false)) waiting_bytes_ -= CostOf(call);
}

// Ends a call that is not in flight.
void AsyncCalls::End(AsyncCall& call, absl::Status status) {
  TakeOut(call);
  call.EndUnsent(std::move(status));
  queue_.Push(call);
  Wake();
}

void AsyncCalls::Cancel(AsyncCall& call) {
  base::MutexLock lock(mutex_);
  CancelLocked(call);
}

void AsyncCalls::CancelLocked(AsyncCall& call) {
  base::ListNode<AsyncCall>& place = call;
  if (place.linked() && call.id != 0) return session_->Cancel(call);
  absl::Status cancelled = absl::CancelledError("the call was cancelled by its caller");
  if (place.linked()) {
    End(call, std::move(cancelled));
  } else if (!call.started) {
    call.EndUnsent(std::move(cancelled));
  }
}

bool AsyncCalls::RetiredLocked() {
  return session_ != nullptr && !session_->usable();
}

bool AsyncCalls::retired() {
  base::MutexLock lock(mutex_);
  return RetiredLocked();
}

bool AsyncCalls::finished() {
  base::MutexLock lock(mutex_);
  return !running_;
}

absl::Status AsyncCalls::EnsureThread() {
  if (running_) return absl::OkStatus();
  if (thread_.joinable()) thread_.Join();
  const size_t stack = base::Thread::StackFor(options_.callback_stack_size);
  absl::Status started = thread_.Start("nearcall-calls", stack, [self = shared_from_this()] { self->ThreadMain(); });
  running_ = started.ok();
  return started;
}

bool AsyncCalls::OnItsThread() {
  return thread_.IsCurrent();
}

void AsyncCalls::Wake() {
  if (session_ != nullptr) {
    session_->callers().Tell(queue_.waiting());
  } else {
    queue_.Poke();
  }
}

void AsyncCalls::Stop() {
  {
    base::MutexLock lock(mutex_);
    owner_ = nullptr;
    leave_until_ = base::AddNs(base::NowNs(), base::kLeaveNs);
    // (That the lists call it with the lock held the analysis cannot see.)
    const auto cancel = [this](AsyncCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (!call.is_local()) CancelLocked(call);
      return false;
    };
    for (Lane& lane : waiting_) lane.ForEachUntil(cancel);
    in_flight_.ForEachUntil(cancel);
    Wake();
  }
  // A callback may end the thread; then there is another.
  for (base::Thread thread = TakeThread(); thread.joinable(); thread = TakeThread()) {
    if (thread.IsCurrent()) return thread.Detach();
    thread.Join();
  }
}

base::Thread AsyncCalls::TakeThread() {
  base::MutexLock lock(mutex_);
  return std::move(thread_);
}

}  // namespace nearcall::rpc
