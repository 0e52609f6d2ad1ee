// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/poller.h"

#include <cxxabi.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/blocking.h"
#include "base/limits.h"
#include "base/no_memory.h"

namespace nearcall::rpc {

namespace {

// In an event queue: reads of connections, and handlers, before others have their turn.
constexpr int kStepsPerTurn = 64;

// A dialogue with the only client that is served goes without a change of threads for each word. Else a handler that
// streams has a thread of its own: it may be long at it, and the others go on.
bool RunsInline(const Request& request, const ServerCore& core, const Intake& intake, const Lead& lead) {
  if (core.reactor() != nullptr) return true;
  // Nobody rings for a channel's poller that is stuck in a handler.
  if (request.may_block() || core.of_channel) return false;
  if (!request.needs_thread()) return true;
  const bool dialogue = request.kind() == internal::MethodKind::kBidiStreaming;
  return dialogue && intake.IsAlone(*request.session) && lead.Look().free_threads() > 1;
}

}  // namespace

// Once the handler is about to wait, the thread leads on, or gives the lead away.
class Poller::InlineRun final : public base::BlockingObserver, public StreamWait {
 public:
  InlineRun(Poller& poller, Lead::ThreadId me, Turn& turn, base::SteadyNs now) : poller_(poller), me_(me), turn_(turn) {
    if (turn.kind == Turn::Kind::kCall) turn.call.place().set_stream_wait(this);
    if (poller_.lead_.EnterHandler(now, turn.call.request().habit())) poller_.bells_.Wake();
  }
  ~InlineRun() {
    if (turn_.kind == Turn::Kind::kCall) turn_.call.place().set_stream_wait(nullptr);
  }

  void LeadOnUntil(const session::Waiting& waiting) override {
    const Lead::LedOn led = poller_.lead_.LeadOn(me_);
    if (led == Lead::LedOn::kNo) return;
    // It may have been asked to ring by the other leader.
    if (led == Lead::LedOn::kTakes) poller_.intake_.Warm(session().id());
    if (poller_.LeadFor(session(), waiting)) return GoOn();
    poller_.GiveLeadAway();
  }

 private:
  void OnAboutToBlock() override {
    const Lead::Stopped stopped = poller_.lead_.StopHandler(me_);
    if (stopped == Lead::Stopped::kNo) return;
    if (stopped == Lead::Stopped::kAlone && !poller_.threads_.StartAnother()) return GoOn();
    poller_.GiveLeadAway();
  }

  void GoOn() {
    if (poller_.lead_.GoOn(base::NowNs())) poller_.bells_.Wake();
  }

  const session::ServerSession& session() { return *turn_.call.request().session; }

  Poller& poller_;
  const Lead::ThreadId me_;
  Turn& turn_;
};

Poller::~Poller() = default;

absl::Status Poller::Start() {
  if (absl::Status opened = bells_.Open(); !opened.ok()) return opened;
  if (core_.reactor() != nullptr) {
    queues_ = lead_.Join();
    static_cast<void>(lead_.FallAsleep());  // there is no news yet
    return in_queue_.Begin(*core_.reactor(), bells_.fd(), [this](size_t max) { return TakeTurn(max); });
  }
  absl::Status started = threads_.Start();
  if (!started.ok()) Stop();
  return started;
}

void Poller::Stop() {
  lead_.Stop();
  bells_.Wake();
  in_queue_.End();
}

void Poller::Clear() {
  intake_.Clear();
  calls_.Clear();
  for (const auto& session : mailbox_.Clear()) {
    session->back().End();
    session->listener().Detach();
  }
}

void Poller::Add(const std::shared_ptr<session::ServerSession>& session) {
  // Before the leader can know it, and go to sleep: what is not watched yet cannot be asked to ring.
  if (absl::Status status = bells_.Add(*session); !status.ok()) {
    core_.logger->Log({base::LogKind::kConnection, session->client().peer().uid}, LogSeverity::kError,
                      status.message());
    session->HangUp();
  }
  const uint32_t id = session->id();
  mailbox_.Add(session);
  resumptions_.WakeLeader();
  // It may have ended before it was known here, and then Remove() has found nothing. (If that is still to be told,
  // Remove() will be called.)
  if (session->listener().was_told_gone()) Remove(id);
}

void Poller::Remove(uint32_t connection_id) {
  if (mailbox_.Remove(connection_id)) resumptions_.WakeLeader();
}

std::string Poller::DebugString() {
  const LeadSnapshot lead = lead_.Look();
  std::string text = absl::StrCat("poller: ", mailbox_.connection_count(), " connections, ", lead.serving,
                                  " threads, leader ", lead.state, ", lead changed hands ", lead.changes, " times\n");
  absl::StrAppend(&text, "  requests waiting for a handler: low ", waiting(0), ", normal ", waiting(1), ", high ",
                  waiting(2), ", urgent ", waiting(3), "\n");
  for (const auto& session : mailbox_.Sessions()) absl::StrAppend(&text, "  ", session->DebugString(), "\n");
  return text;
}

// --- in an event queue ---

// Like a leader who has been woken, but never waits: when nothing is left every connection will ring.
size_t Poller::TakeTurn(size_t max) {
  bool rung = false;
  bells_.Wait(/*timeout_ns=*/0, [&](uint32_t connection_id) {
    mailbox_.Ring(connection_id);
    rung = true;
  });
  lead_.WakeUp(queues_, rung);
  bool asleep = false;
  // Also when a handler ends its thread.
  const absl::Cleanup rest = [&] {
    if (!asleep && !lead_.stopped()) in_queue_.Schedule();
  };
  size_t ran = 0;
  for (int steps = 0; steps < kStepsPerTurn && ran < max && !asleep && !lead_.stopped(); ++steps) {
    const Did did = TakeStep(queues_);
    if (did == Did::kTurn) ++ran;
    asleep = did == Did::kNothing && intake_.ArmAll() && lead_.FallAsleep();
  }
  return ran;
}

// --- the leader ---

void Poller::Work(Lead::ThreadId me) {
  while (!lead_.stopped()) {
    const Did did = TakeStep(me);
    if (did == Did::kLostTheLead) return;
    if (did != Did::kNothing) continue;
    if (intake_.LookForAWhile([this] { return lead_.has_news(); })) continue;
    // Every connection will ring, and this thread goes to wait in epoll.
    if (intake_.ArmAll() && lead_.FallAsleep()) return;
  }
}

// Reads what is there, if it is time, and runs a turn.
Poller::Did Poller::TakeStep(Lead::ThreadId me) {
  if (lead_.has_news()) ReadMail();
  const bool progress = intake_.IsDue() && Harvest();
  Did did = RunNext(me, progress ? intake_.just_read() : 0);
  if (did == Did::kNothing && !progress && !intake_.queue().empty()) {
    // No place for a handler.
    resumptions_.WantPlace();
    did = RunNext(me, 0);
  }
  if (did != Did::kNothing) return did;
  if (progress) return Did::kRead;
  intake_.BeDue();  // nothing that is here can run: look for more
  return Did::kNothing;
}

void Poller::ReadMail() {
  lead_.ForgetNews();
  base::List<Turn, InLane> turns;
  Mailbox::Mail mail = mailbox_.Take(turns);
  for (auto& session : mail.added) intake_.Add(std::move(session));
  // Who rings may have waited long: its request is read before the next handler starts.
  if (!mail.rung.empty()) intake_.BeDue();
  for (const uint32_t id : mail.rung) intake_.Warm(id);
  while (Turn* turn = turns.PopFront()) intake_.Queue(*turn);
  for (const uint32_t id : mail.removed) Drop(id);
}

bool Poller::Harvest() {
  bool progress;
  {
    const Resumptions::Reading reading(resumptions_);
    progress = intake_.Harvest();
  }
  while (Turn* const turn = resumptions_.NextRead()) intake_.Queue(*turn);
  while (const std::optional<uint32_t> left = intake_.NextThatHasLeft()) Drop(*left);
  return progress;
}

void Poller::Drop(uint32_t connection_id) {
  const std::shared_ptr<session::ServerSession> session = intake_.Remove(connection_id);
  if (session == nullptr) return;
  mailbox_.Forget(connection_id);
  session->back().End();
  // Last: its number may be given to another one now.
  session->listener().Detach();
  if (core_.ends_when_alone || core_.draining.load(std::memory_order_relaxed)) core_.on_drained();
}

// `now`: zero if it is not known.
Poller::Did Poller::RunNext(Lead::ThreadId me, base::SteadyNs now) {
  if (intake_.queue().empty()) return Did::kNothing;
  if (now == 0) now = base::NowNs();
  Turn* const turn = intake_.Next(now);
  if (turn == nullptr) return Did::kNothing;
  resumptions_.WantNoPlace();
  if (turn->kind == Turn::Kind::kPlace) {
    turn->Run();  // its thread goes on
    return Did::kTurn;
  }
  IncomingCall& call = turn->call;
  if (turn->kind == Turn::Kind::kCall) call.place().Give();
  if (RunsInline(call.request(), core_, intake_, lead_)) return RunInline(me, *turn, now);
  const absl::Status started = runner_.RunOnThread(*turn);
  if (started.ok()) return Did::kTurn;
  if (!call.request().needs_thread()) return RunInline(me, *turn, now);
  // Not on this thread: the handler may wait for what only the leader can read.
  runner_.Refuse(std::unique_ptr<IncomingCall>(&call), started);
  return Did::kTurn;
}

Poller::Did Poller::RunInline(Lead::ThreadId me, Turn& turn, base::SteadyNs now) {
  const auto run = [&] {
    const InlineRun here(*this, me, turn, now);
    turn.Run();
  };
  try {
    run();
  } catch (abi::__forced_unwind&) {
    runner_.OnEnd(turn, lead_.LeaveHandler(me));
    throw;
  }
  const bool leads = lead_.LeaveHandler(me);
  // One that was quick costs no look at the clock.
  if (BlockingHabit* const habit = turn.call.request().habit(); habit != nullptr && !leads) {
    habit->Ran(base::NowNs() - now);
  }
  runner_.OnEnd(turn, leads);
  return leads ? Did::kTurn : Did::kLostTheLead;
}

// Reads on, for a handler of `session` that waits. False: it goes on waiting, but there is more to do than to read for
// it, or nothing comes.
bool Poller::LeadFor(const session::ServerSession& session, const session::Waiting& waiting) {
  const auto news = [&] { return waiting.has_news() || lead_.has_news(); };
  while (!waiting.has_news()) {
    if (lead_.stopped()) return false;
    if (lead_.has_news()) ReadMail();
    const bool progress = Harvest();
    if (!intake_.IsAlone(session)) return waiting.has_news();
    if (!progress && !intake_.LookForAWhile(news)) return waiting.has_news();
  }
  return true;
}

// By the leader, whose handler waits: to nobody, if there is nothing to do, and every connection will ring; else to
// whoever is woken.
void Poller::GiveLeadAway() {
  const bool idle = intake_.queue().empty() && !lead_.has_news() && intake_.ArmAll() && lead_.FallAsleepInHandler();
  if (!idle) {
    lead_.GiveAway();
    bells_.Wake();
  }
  if (lead_.NeedsAnother()) threads_.StartAnother();
}

}  // namespace nearcall::rpc
