// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_calls.h"

#include <cxxabi.h>

#include <new>
#include <utility>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/limits.h"

namespace nearcall::rpc {

using Begun = CallBook::Begun;

AsyncCalls::AsyncCalls(Owner& owner, const ChannelOptions& options, base::Reactor* reactor,
                       std::shared_ptr<base::Logger> logger, SessionPtr session)
    : options_(options),
      state_(owner, options_, queue_, std::move(session)),
      loop_(options_, std::move(logger), queue_, state_) {
  if (reactor != nullptr) queued_.emplace(*reactor, loop_, queue_);
}

AsyncCalls::~AsyncCalls() {
  base::MutexLock lock(state_.mutex);
  if (thread_.IsCurrent()) thread_.Detach();
  if (thread_.joinable()) thread_.Join();
}

AsyncCalls::Started AsyncCalls::Start(const std::shared_ptr<AsyncCall>& call) {
  // From here on it may end at any moment; the caller's reference keeps it alive.
  call->ListenForStop([this, raw = call.get()] { Cancel(*raw); });
  Opening opening;
  Started started;
  bool in_its_turn;
  {
    base::MutexLock lock(state_.mutex);
    in_its_turn = InItsTurn();
    try {
      started = StartLocked(call);
    } catch (const std::bad_alloc&) {
      // Nobody else knows the call.
      state_.book.TakeOut(*call);
      call->self = nullptr;
      call->started = false;
      started = Started::kNoThread;
    }
    if (started == Started::kInFlight) opening = state_.book.OpeningOf(*call);
  }
  if (opening.session != nullptr && in_its_turn) {
    loop_.Post(opening, *call);
  } else if (opening.session != nullptr) {
    opening.Post(*call, session::Outbox::HandOver::kNow);
  } else if (started != Started::kQueued) {
    call->StopListening();
  }
  return started;
}

AsyncCalls::Started AsyncCalls::StartLocked(const std::shared_ptr<AsyncCall>& call) {
  if (call->failure.ok() && state_.book.retired()) return Started::kElsewhere;
  if (absl::Status thread = EnsureThread(); !thread.ok()) {
    if (call->failure.ok()) call->EndUnsent(std::move(thread));
    return Started::kNoThread;
  }
  CallBook& book = state_.book;
  queue_.Adopt(*call);
  if (!call->failure.ok()) {
    book.Adopt(call);
    book.End(*call, call->failure);
    return Started::kQueued;
  }
  const SessionPtr& session = book.session();
  const bool at_once = session != nullptr && book.line().empty();
  const Begun begun = at_once ? book.TryBegin(*call) : Begun::kFull;
  if (begun == Begun::kGone) return Started::kElsewhere;
  // Where calls that were given up keep slots, the thread looks whether their replies have come.
  const bool hasty = at_once && call->request().fail_fast() && session->callers().slots().given_up == 0;
  if (begun == Begun::kFull && (hasty || !book.MayWait(*call))) call->EndUnsent(book.NoRoom());
  if (begun != Begun::kYes && call->is_local() && !call->failure.ok()) {
    call->EndUnsent(call->failure);
    return Started::kRefused;
  }
  book.Adopt(call);
  if (begun == Begun::kYes) {
    if (state_.idle || state_.streams_only || call->deadline < state_.wakes_at) book.Wake();
    return Started::kInFlight;
  }
  if (call->failure.ok()) {
    book.Enqueue(*call);
  } else {
    book.End(*call, call->failure);
  }
  return Started::kQueued;
}

void AsyncCalls::Cancel(AsyncCall& call) {
  base::MutexLock lock(state_.mutex);
  state_.book.Cancel(call);
}

AsyncCalls::SessionPtr AsyncCalls::session() {
  base::MutexLock lock(state_.mutex);
  return state_.book.session();
}

bool AsyncCalls::finished() {
  base::MutexLock lock(state_.mutex);
  return !state_.running;
}

void AsyncCalls::ThreadMain() {
  try {
    loop_.Run();
  } catch (abi::__forced_unwind&) {
    // A callback has called pthread_exit(3). The other calls need another thread, and cannot do without.
    for (bool replaced = false; !replaced;) {
      {
        base::MutexLock lock(state_.mutex);
        state_.running = false;
        if (thread_.IsCurrent()) thread_.Detach();
        replaced = EnsureThread().ok();
      }
      if (!replaced) absl::SleepFor(absl::Milliseconds(1));
    }
    throw;
  }
}

absl::Status AsyncCalls::EnsureThread() {
  if (state_.running) return absl::OkStatus();
  if (queued_) {
    loop_.set_wake([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->queue_.Poke();
    });
    queued_->Begin(std::shared_ptr<base::Reactor::Target>(shared_from_this(), &*queued_));
    state_.running = true;
    return absl::OkStatus();
  }
  if (thread_.joinable()) thread_.Join();
  const size_t stack = base::Thread::StackFor(options_.callback_stack_size);
  absl::Status started = thread_.Start("nearcall-calls", stack, [self = shared_from_this()] { self->ThreadMain(); });
  state_.running = started.ok();
  return started;
}

bool AsyncCalls::InItsTurn() {
  return queued_ ? queued_->InTurn() : thread_.IsCurrent();
}

void AsyncCalls::Stop() {
  {
    base::MutexLock lock(state_.mutex);
    state_.owner = nullptr;
    state_.leave_until = base::AddNs(base::NowNs(), base::kLeaveNs);
    state_.book.CancelAll();
    state_.book.Wake();
  }
  if (queued_) return StopInQueue();
  // A callback may end the thread; then there is another.
  for (base::Thread thread = TakeThread(); thread.joinable(); thread = TakeThread()) {
    if (thread.IsCurrent()) return thread.Detach();
    thread.Join();
  }
}

// In the queue's Run() what is left is run later. Else here, as if this were the thread: nobody may run the queue
// again.
void AsyncCalls::StopInQueue() {
  if (queued_->OnItsThread()) return;
  queued_->End();
  bool has_calls;
  {
    base::MutexLock lock(state_.mutex);
    has_calls = state_.running;
  }
  if (has_calls) loop_.Run();
}

base::Thread AsyncCalls::TakeThread() {
  base::MutexLock lock(state_.mutex);
  return std::move(thread_);
}

}  // namespace nearcall::rpc
