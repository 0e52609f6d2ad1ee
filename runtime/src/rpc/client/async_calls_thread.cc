// SPDX-License-Identifier: Apache-2.0
#include <cxxabi.h>

#include <algorithm>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/no_memory.h"
#include "base/status.h"
#include "rpc/client/async_calls.h"
#include "rpc/client/call_head.h"

// AsyncCalls: what its thread does.
namespace nearcall::rpc {

namespace {

using Begun = session::Callers::Begun;

// Long against the pauses of a busy program, short against a person.
constexpr absl::Duration kLinger = absl::Seconds(1);

// Callbacks that run before what they have started is sent.
constexpr int kCallbacksPerBatch = 64;

}  // namespace

void AsyncCalls::ThreadMain() {
  try {
    Run();
  } catch (abi::__forced_unwind&) {
    // A callback has called pthread_exit(3). The other calls need another thread, and cannot do without.
    for (bool replaced = false; !replaced;) {
      {
        base::MutexLock lock(mutex_);
        running_ = false;
        if (thread_.IsCurrent()) thread_.Detach();
        replaced = EnsureThread().ok();
      }
      if (!replaced) absl::SleepFor(absl::Milliseconds(1));
    }
    throw;
  }
}

void AsyncCalls::Run() {
  do {
    queue_.ForgetNews();
    RunCallbacks();
    ConnectIfNeeded();
    ExpireOverdue();
    MoveElsewhere();
    ReadForSlots();
    BeginWaiting();
    EndLocal();
  } while (WaitForNews());
}

void AsyncCalls::RunCallbacks() {
  for (int i = 0; i < kCallbacksPerBatch; ++i) {
    session::Completion* const completion = queue_.Pop();
    if (completion == nullptr) return;
    if (completion->is_end) {
      EndCall(*static_cast<AsyncCall*>(completion));
    } else {
      RunSide(*static_cast<Side*>(completion));
    }
  }
  queue_.Poke();
}

void AsyncCalls::EndCall(AsyncCall& call) {
  std::shared_ptr<AsyncCall> self;
  SessionPtr session;
  {
    base::MutexLock lock(mutex_);
    TakeOut(call);
    self = std::move(call.self);
    session = session_;
  }
  // A cancel that is under way ends before the call goes on.
  call.StopListening();
  const bool was_in_flight = call.id != 0;
  call.TakeAnswer(spare_);
  if (was_in_flight) session->callers().Release(call);
  if (StartsOver(self, session)) return;
  RunUserCode(self, [self](base::Buffer& spare) { self->End(spare); });
}

void AsyncCalls::RunSide(Side& side) {
  std::shared_ptr<AsyncCall> call;
  {
    base::MutexLock lock(mutex_);
    call = static_cast<AsyncCall&>(side.call()).self;
  }
  RunUserCode(call, [call, &side](base::Buffer&) { side.Run(); });
}

bool AsyncCalls::StartsOver(const std::shared_ptr<AsyncCall>& call, const SessionPtr& session) {
  if (call->id == 0 || !GoesElsewhere(*session, call->status())) return false;
  Owner* owner;
  {
    base::MutexLock lock(mutex_);
    owner = owner_;
  }
  if (owner == nullptr || !call->StartOver()) return false;
  if (owner->StartElsewhere(call)) return true;
  call->EndUnsent(ChannelDestroyed());
  call->TakeAnswer(spare_);
  return false;
}

template <typename Code>
void AsyncCalls::RunUserCode(const std::shared_ptr<AsyncCall>& call, Code code) {
  const auto guarded = [call, code, logger = logger_](base::Buffer& spare) {
    try {
      code(spare);
    } catch (abi::__forced_unwind&) {
      logger->Log(
          {base::LogKind::kUserCode}, LogSeverity::kError,
          absl::StrCat("the callback of ", call->request().method().full_name, " has ended its thread (pthread_exit)"));
      throw;
    } catch (...) {
      logger->Log({base::LogKind::kUserCode}, LogSeverity::kError,
                  absl::StrCat("the callback of ", call->request().method().full_name, " threw an exception"));
    }
  };
  if (options_.executor && !call->is_local()) {
    options_.executor([guarded] {
      base::Buffer spare;
      guarded(spare);
    });
  } else {
    guarded(spare_);
  }
}

void AsyncCalls::ConnectIfNeeded() {
  Owner* owner;
  base::SteadyNs deadline = base::kNever;
  {
    base::MutexLock lock(mutex_);
    if (session_ != nullptr || FirstWaiting() == nullptr || owner_ == nullptr) return;
    if (base::NowNs() < retry_at_ && AllWaitForReady()) return;
    owner = owner_;
    if (!deadlines_.empty()) deadline = deadlines_.begin()->first;
  }
  absl::StatusOr<SessionPtr> session = owner->Connect(deadline);
  base::MutexLock lock(mutex_);
  if (session.ok()) {
    session_ = *std::move(session);
    retry_pauses_.Reset();
  } else if (base::NowNs() < deadline) {
    FailUnconnected(session.status());
  }
}

bool AsyncCalls::AllWaitForReady() {
  bool all = true;
  for (Lane& lane : waiting_) {
    lane.ForEachUntil([&all](AsyncCall& call) {
      all = call.wait_for_ready();
      return !all;
    });
    if (!all) break;
  }
  return all;
}

// Those that do not wait for a server end; for the others it is tried again.
void AsyncCalls::FailUnconnected(const absl::Status& why) {
  std::vector<AsyncCall*> hasty;
  for (Lane& lane : waiting_) {
    lane.ForEachUntil([&](AsyncCall& call) {
      if (!call.wait_for_ready() || !absl::IsUnavailable(why)) hasty.push_back(&call);
      return false;
    });
  }
  // Their callbacks may run on different threads.
  for (AsyncCall* call : hasty) End(*call, base::UnsharedCopy(why));
  retry_at_ = base::AddNs(base::NowNs(), retry_pauses_.NextNs());
}

void AsyncCalls::ExpireOverdue() {
  const base::SteadyNs now = base::NowNs();
  base::MutexLock lock(mutex_);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    AsyncCall& call = *deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (call.id != 0) {
      const uint64_t id = call.id;
      const bool streams = call.stream != nullptr;
      if (session_->callers().Fail(call, session_->Late("no reply", call)) && streams) session_->end().SendCancel(id);
    } else {
      End(call, absl::DeadlineExceededError(
                    absl::StrCat("the deadline of ", call.request().method().full_name,
                                 session_ == nullptr ? " passed while the call waited for a server"
                                                     : " passed while the call waited for its turn to be sent")));
    }
  }
}

// What waits for a connection that takes no more calls.
void AsyncCalls::MoveElsewhere() {
  std::vector<std::shared_ptr<AsyncCall>> leaving;
  Owner* owner;
  {
    base::MutexLock lock(mutex_);
    owner = owner_;
    if (owner == nullptr || !RetiredLocked()) return;
    while (AsyncCall* call = FirstWaiting()) {
      TakeOut(*call);
      call->started = false;  // a stop request that comes from now on ends it where it goes
      leaving.push_back(std::move(call->self));
    }
  }
  for (const std::shared_ptr<AsyncCall>& call : leaving) {
    call->StopListening();
    if (owner->StartElsewhere(call)) continue;
    base::MutexLock lock(mutex_);
    Adopt(call);
    End(*call, ChannelDestroyed());
  }
}

// Replies to calls that were given up, with which their slots become free, may have come while nobody waited.
void AsyncCalls::ReadForSlots() {
  SessionPtr session;
  {
    base::MutexLock lock(mutex_);
    if (FirstWaiting() != nullptr) session = session_;
  }
  if (session == nullptr || !session->callers().has_given_up()) return;
  session->Wait(queue_.waiting(), 0, [] { return false; });
}

void AsyncCalls::BeginWaiting() {
  SessionPtr session;
  bool all = false;
  for (;;) {
    std::shared_ptr<AsyncCall> call;
    Opening opening;
    {
      base::MutexLock lock(mutex_);
      session = session_;
      AsyncCall* first = session == nullptr ? nullptr : FirstWaiting();
      all = first == nullptr;
      if (all) break;
      call = first->self;
      const Begun begun = TryBeginOrNoMemory(*first);
      if (begun == Begun::kEnded || (begun == Begun::kFull && first->request().fail_fast())) {
        End(*first, begun == Begun::kFull ? NoRoom() : first->failure);
        continue;
      }
      if (begun == Begun::kGone) queue_.Poke();  // since MoveElsewhere(), which is to have another turn
      if (begun != Begun::kYes) break;
      opening = OpeningOf(*call);
    }
    Post(opening, *call, session::Outbox::HandOver::kLater);
  }
  if (session == nullptr) return;
  session->Publish();
  if (all) session->callers().LeaveLine(queue_.waiting());
}

// After Stop(): when all local calls have left this process, or have had their time.
void AsyncCalls::EndLocal() {
  base::MutexLock lock(mutex_);
  if (owner_ != nullptr) return;
  const bool in_time = base::NowNs() < leave_until_;
  if (in_time && FirstWaiting() != nullptr && session_ != nullptr && session_->usable()) return;
  while (AsyncCall* call = FirstWaiting()) End(*call, ChannelDestroyed());
  if (session_ == nullptr) return;
  const bool unsent = session_->outbox().has_waiting();
  if (in_time && unsent) return;
  in_flight_.ForEachUntil([session = session_, unsent](AsyncCall& call) {
    session->callers().Fail(call, unsent ? ChannelDestroyed() : absl::OkStatus());
    return false;
  });
}

Begun AsyncCalls::TryBeginOrNoMemory(AsyncCall& call) try { return TryBegin(call); } catch (const std::bad_alloc&) {
  call.failure = base::NoMemory();
  return Begun::kEnded;
}

// False: there has been nothing to do for a while.
bool AsyncCalls::WaitForNews() {
  SessionPtr session;
  base::SteadyNs until = base::kNever;
  bool idle;
  bool nothing_left;
  bool leaving;
  bool streams_only;
  {
    base::MutexLock lock(mutex_);
    const bool waiting = FirstWaiting() != nullptr;
    session = session_;
    nothing_left = in_flight_.empty() && !waiting;
    // It reads for calls that wait for a place too: what they wait for may belong to calls that have ended.
    idle = idle_ = in_flight_.empty() && (session == nullptr || !waiting);
    leaving = owner_ == nullptr && !waiting;
    if (!deadlines_.empty()) until = deadlines_.begin()->first;
    if (owner_ == nullptr) until = std::min(until, leave_until_);
    if (session == nullptr && waiting) until = std::min(until, retry_at_);
    if (nothing_left) until = owner_ == nullptr || RetiredLocked() ? 0 : base::AfterNow(kLinger);
    wakes_at_ = until;
    streams_only = streams_only_ = !idle && replies_due_ == 0 && !waiting;
  }
  if (!idle) {
    // Who sends something in a stream has it rung for.
    queue_.waiting().of_stream = streams_only;
    if (!streams_only) queue_.waiting().Await(base::NowNs());
    session->Wait(queue_.waiting(), until,
                  [&] { return queue_.has_news() || (leaving && !session->outbox().has_waiting()); });
  } else if (!queue_.has_news()) {
    queue_.waiting().waiter.Wait(until);
  }
  base::MutexLock lock(mutex_);
  idle_ = streams_only_ = false;
  wakes_at_ = 0;
  if (!nothing_left || queue_.has_news() || base::NowNs() < until) return true;
  running_ = false;
  return false;
}

}  // namespace nearcall::rpc
