// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_loop.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "base/no_memory.h"
#include "base/status.h"
#include "rpc/client/call_head.h"

namespace nearcall::rpc {

namespace {

// Long against the pauses of a busy program, short against a person.
constexpr absl::Duration kLinger = absl::Seconds(1);

}  // namespace

size_t CallLoop::Turn(size_t max) {
  queue_.ForgetNews();
  const size_t ran = RunCallbacks(std::min(max, kCallbacksPerBatch));
  Publish();
  return ran;
}

void CallLoop::DoChores() {
  ConnectIfNeeded();
  {
    base::MutexLock lock(state_.mutex);
    state_.book.Expire(base::NowNs());
  }
  MoveElsewhere();
  ReadForSlots();
  BeginWaiting();
  EndLocal();
  Publish();
}

void CallLoop::Publish() {
  if (session::ClientSession* const session = std::exchange(unpublished_, nullptr)) session->poster().Publish();
}

// Most turns are of calls that are under way, with which there is nothing more to do than to run what has come.
bool CallLoop::HasChores() const {
  CallBook& book = state_.book;
  if (state_.owner == nullptr || book.retired() || !book.line().empty() || book.stands_in_slot_line()) return true;
  const base::SteadyNs deadline = book.first_deadline();
  return deadline != base::kNever && base::NowNs() >= deadline;
}

size_t CallLoop::RunCallbacks(size_t max) {
  bool more = true;
  for (size_t i = 0; i < max; ++i) {
    session::Completion* side = nullptr;
    if (ended_.empty() && more) {
      base::List<session::Completion> ended;
      side = queue_.Take(ended, max - i, more);
      if (!ended.empty()) {
        base::MutexLock lock(state_.mutex);
        ended_over_ = state_.book.session().get();
        while (session::Completion* const call = ended.PopFront()) {
          state_.book.TakeOut(static_cast<AsyncCall&>(*call));
          ended_.PushBack(*call);
        }
      }
    }
    if (side != nullptr) {
      RunSide(*static_cast<Side*>(side));
    } else if (session::Completion* const ended = ended_.PopFront()) {
      EndCall(*static_cast<AsyncCall*>(ended));
    } else {
      return i;
    }
  }
  queue_.Poke();
  return max;
}

void CallLoop::EndCall(AsyncCall& call) {
  const std::shared_ptr<AsyncCall> self = std::move(call.self);
  // A cancel that is under way ends before the call goes on.
  call.StopListening();
  const bool was_in_flight = call.id != 0;
  call.TakeAnswer();
  if (was_in_flight) {
    ended_over_->callers().Release(call, spare_);
    if (!call.status().ok() && StartsOver(self, *ended_over_)) return;
  }
  callbacks_.Run(self, spare_, [](AsyncCall& ended, base::Buffer& spare) { ended.End(spare); });
}

void CallLoop::RunSide(Side& side) {
  std::shared_ptr<AsyncCall> call;
  {
    base::MutexLock lock(state_.mutex);
    call = static_cast<AsyncCall&>(side.call()).self;
  }
  callbacks_.Run(call, spare_, [&side](AsyncCall&, base::Buffer&) { side.Run(); });
}

bool CallLoop::StartsOver(const std::shared_ptr<AsyncCall>& call, session::ClientSession& session) {
  if (!GoesElsewhere(session, call->status())) return false;
  CallOwner* owner;
  {
    base::MutexLock lock(state_.mutex);
    owner = state_.owner;
  }
  if (owner == nullptr || !call->StartOver()) return false;
  if (owner->StartElsewhere(call)) return true;
  call->EndUnsent(ChannelDestroyed());
  call->TakeAnswer();
  return false;
}

void CallLoop::ConnectIfNeeded() {
  CallOwner* owner;
  base::SteadyNs deadline;
  {
    base::MutexLock lock(state_.mutex);
    CallBook& book = state_.book;
    if (book.session() != nullptr || book.line().empty() || state_.owner == nullptr) return;
    if (base::NowNs() < retry_at_ && book.line().AllWaitForReady()) return;
    owner = state_.owner;
    deadline = book.first_deadline();
  }
  std::optional<absl::StatusOr<SessionPtr>> session = owner->Connect(deadline, wake_);
  if (!session) return;
  base::MutexLock lock(state_.mutex);
  if (session->ok()) {
    state_.book.set_session(**std::move(session));
    retry_pauses_.Reset();
  } else if (base::NowNs() < deadline) {
    FailUnconnected(session->status());
  }
}

// Those that do not wait for a server end; for the others it is tried again.
void CallLoop::FailUnconnected(const absl::Status& why) {
  std::vector<AsyncCall*> hasty;
  state_.book.line().ForEach([&](AsyncCall& call) {
    if (!call.wait_for_ready() || !absl::IsUnavailable(why)) hasty.push_back(&call);
  });
  // Their callbacks may run on different threads.
  for (AsyncCall* call : hasty) state_.book.End(*call, base::UnsharedCopy(why));
  retry_at_ = base::AddNs(base::NowNs(), retry_pauses_.NextNs());
}

// What waits for a connection that takes no more calls.
void CallLoop::MoveElsewhere() {
  std::vector<std::shared_ptr<AsyncCall>> leaving;
  CallOwner* owner;
  {
    base::MutexLock lock(state_.mutex);
    owner = state_.owner;
    if (owner == nullptr || !state_.book.retired()) return;
    while (AsyncCall* call = state_.book.line().First()) {
      state_.book.TakeOut(*call);
      call->started = false;  // a stop request that comes from now on ends it where it goes
      leaving.push_back(std::move(call->self));
    }
  }
  for (const std::shared_ptr<AsyncCall>& call : leaving) {
    call->StopListening();
    if (owner->StartElsewhere(call)) continue;
    base::MutexLock lock(state_.mutex);
    state_.book.Adopt(call);
    state_.book.End(*call, ChannelDestroyed());
  }
}

// Replies to calls that were given up, with which their slots become free, may have come while nobody waited.
void CallLoop::ReadForSlots() {
  SessionPtr session;
  {
    base::MutexLock lock(state_.mutex);
    if (!state_.book.line().empty()) session = state_.book.session();
  }
  if (session == nullptr || session->callers().slots().given_up == 0) return;
  session->readers().Wait(queue_.waiting(), 0, [] { return false; });
}

void CallLoop::BeginWaiting() {
  for (;;) {
    std::shared_ptr<AsyncCall> call;
    Opening opening;
    {
      base::MutexLock lock(state_.mutex);
      CallBook& book = state_.book;
      AsyncCall* first = book.session() == nullptr ? nullptr : book.line().First();
      if (first == nullptr) return book.LeaveSlotLine();
      call = first->self;
      const Begun begun = TryBegin(*first);
      if (begun == Begun::kEnded || (begun == Begun::kFull && first->request().fail_fast())) {
        book.End(*first, begun == Begun::kFull ? book.NoRoom() : first->failure);
        continue;
      }
      if (begun == Begun::kGone) queue_.Poke();  // since MoveElsewhere(), which is to have another turn
      if (begun != Begun::kYes) return;
      opening = book.OpeningOf(*call);
    }
    Post(opening, *call);
  }
}

void CallLoop::Post(const Opening& opening, AsyncCall& call) {
  opening.Post(call, session::Outbox::HandOver::kLater);
  unpublished_ = opening.session;
}

CallLoop::Begun CallLoop::TryBegin(AsyncCall& call) try {
  return state_.book.TryBegin(call);
} catch (const std::bad_alloc&) {
  call.failure = base::NoMemory();
  return Begun::kEnded;
}

// After the end of the channel: when all local calls have left this process, or have had their time.
void CallLoop::EndLocal() {
  base::MutexLock lock(state_.mutex);
  if (state_.owner != nullptr) return;
  CallBook& book = state_.book;
  const SessionPtr& session = book.session();
  const bool in_time = base::NowNs() < state_.leave_until;
  if (in_time && !book.line().empty() && session != nullptr && session->usable()) return;
  while (AsyncCall* call = book.line().First()) book.End(*call, ChannelDestroyed());
  if (session == nullptr) return;
  const bool unsent = session->outbox().has_waiting();
  if (in_time && unsent) return;
  book.FailInFlight(unsent ? ChannelDestroyed() : absl::OkStatus());
}

CallLoop::Rest CallLoop::BeginWait(bool had_news) {
  {
    base::MutexLock lock(state_.mutex);
    if (!HasChores()) return NoteWait(had_news);
  }
  DoChores();
  base::MutexLock lock(state_.mutex);
  return NoteWait(had_news);
}

CallLoop::Rest CallLoop::NoteWait(bool had_news) {
  CallBook& book = state_.book;
  const bool waiting = !book.line().empty();
  Rest rest = {.session = book.session(),
               .until = book.first_deadline(),
               .reads = false,
               .nothing_left = book.none_in_flight() && !waiting,
               .leaving = state_.owner == nullptr && !waiting,
               .noted = false};
  // It reads for calls that wait for a place too: what they wait for may belong to calls that have ended.
  rest.reads = !book.none_in_flight() || (rest.session != nullptr && waiting);
  const bool streams_only = rest.reads && book.replies_due() == 0 && !waiting;
  state_.idle = !rest.reads;
  state_.streams_only = streams_only;
  rest.noted = state_.idle || state_.streams_only;
  if (state_.owner == nullptr) rest.until = std::min(rest.until, state_.leave_until);
  if (rest.session == nullptr && waiting) rest.until = std::min(rest.until, retry_at_);
  if (rest.nothing_left) rest.until = state_.owner == nullptr || book.retired() ? 0 : base::AfterNow(kLinger);
  state_.wakes_at = rest.until;
  if (!rest.reads) return rest;
  // Who sends something in a stream has it rung for.
  session::Waiting& waiting_for = queue_.waiting();
  waiting_for.of_stream = streams_only;
  const bool is_awaited = waiting_for.since.load(std::memory_order_relaxed) != 0;
  if (!streams_only && (had_news || !is_awaited)) waiting_for.Await(base::NowNs());
  return rest;
}

// False: there has been nothing to do for a while.
bool CallLoop::WaitForNews() {
  const Rest rest = BeginWait(/*had_news=*/true);
  if (rest.reads) {
    session::ClientSession& session = *rest.session;
    session.readers().Wait(queue_.waiting(), rest.until,
                           [&] { return queue_.has_news() || (rest.leaving && !session.outbox().has_waiting()); });
  } else if (!queue_.has_news()) {
    queue_.waiting().waiter.Wait(rest.until);
  }
  return EndWait(rest, [] {});
}

bool CallLoop::EndWait(const Rest& rest, absl::FunctionRef<void()> end) {
  // (Who finds an old `wakes_at` wakes somebody who is awake.)
  if (!rest.nothing_left && !rest.noted) return true;
  base::MutexLock lock(state_.mutex);
  state_.idle = state_.streams_only = false;
  state_.wakes_at = 0;
  if (!rest.nothing_left || queue_.has_news() || base::NowNs() < rest.until) return true;
  state_.running = false;
  end();
  return false;
}

}  // namespace nearcall::rpc
