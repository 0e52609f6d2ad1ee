// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/queued_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/no_memory.h"
#include "transport/transport.h"

namespace nearcall::rpc {

namespace {

using transport::Transport;

constexpr uint32_t kBell = 0;
constexpr uint32_t kReadable = 1;
constexpr uint32_t kWritable = 2;

}  // namespace

QueuedLoop::QueuedLoop(base::Reactor& reactor, CallLoop& loop, session::CompletionQueue& queue)
    : reactor_(reactor), loop_(loop), queue_(queue) {
  queue_.waiting().listener = this;
}

void QueuedLoop::Begin(const std::shared_ptr<base::Reactor::Target>& self) {
  id_.store(reactor_.Add(self), std::memory_order_release);
  OnNews();
}

void QueuedLoop::End() {
  const base::Reactor::Id id = id_.exchange(0, std::memory_order_acq_rel);
  if (id == 0) return;
  // No turn is running after this; so what is the turns' is ours.
  reactor_.Remove(id);
  ForgetTimer();
  Unwatch();
}

// Who takes turns looks at the end of each. (A thread may be waiting instead: in the end.)
void QueuedLoop::OnNews() {
  if (in_turn_.load(std::memory_order_seq_cst)) return;
  queue_.waiting().waiter.Poke();
  if (const base::Reactor::Id id = id_.load(std::memory_order_acquire); id != 0) reactor_.Schedule(id);
}

void QueuedLoop::OnReady(uint32_t slot, uint32_t /*events*/) {
  if (slot == kBell) rung_ = true;
  if (const base::Reactor::Id id = id_.load(std::memory_order_acquire); id != 0) reactor_.Schedule(id);
}

size_t QueuedLoop::OnTurn(size_t max) {
  in_turn_.store(true, std::memory_order_seq_cst);
  // The user's code may end its thread.
  bool at_rest = false;
  const absl::Cleanup end = [&] {
    in_turn_.store(false, std::memory_order_seq_cst);
    // SUBTLE: after that. News that came before was left to us; what comes now, OnNews() schedules.
    const base::Reactor::Id id = id_.load(std::memory_order_acquire);
    if (id != 0 && (!at_rest || queue_.has_news())) reactor_.Schedule(id);
  };
  if (base::NowNs() >= timer_at_) ForgetTimer();
  if (session_ != nullptr) session_->readers().Look(queue_.waiting(), std::exchange(rung_, false));
  const bool had_news = queue_.has_news();
  const size_t ran = loop_.Turn(max);
  at_rest = Rest(had_news);
  return ran;
}

// False: another turn is due.
bool QueuedLoop::Rest(bool had_news) {
  const CallLoop::Rest rest = loop_.BeginWait(had_news);
  if (rest.nothing_left && rest.until == 0) {
    return !loop_.EndWait(rest, [this] { End(); });
  }
  if (rest.session != session_) Watch(rest.session);
  base::SteadyNs until = rest.nothing_left ? base::kNever : rest.until;
  bool at_rest = !rest.leaving || rest.session == nullptr || rest.session->outbox().has_waiting();
  if (rest.reads) {
    session::Readers& readers = rest.session->readers();
    readers.RingIfLate(queue_.waiting(), base::NowNs());
    uint32_t interest;
    at_rest = readers.Rest(queue_.waiting(), interest) && at_rest;
    ListenOnce(interest);
    until = std::min(until, readers.LateAt(queue_.waiting()));
  }
  WakeAt(until);
  return at_rest;
}

void QueuedLoop::Watch(const std::shared_ptr<session::ClientSession>& session) {
  Unwatch();
  session_ = session;
  if (session == nullptr) return;
  const base::Reactor::Id id = id_.load(std::memory_order_relaxed);
  const Transport::WaitFds fds = session->readers().descriptors();
  absl::Status status;
  if (fds.bell >= 0) status.Update(reactor_.Watch(id, kBell, fds.bell, EPOLLIN | EPOLLET));
  // Of these nothing is reported before ListenOnce().
  if (fds.readable >= 0) status.Update(reactor_.Watch(id, kReadable, fds.readable, EPOLLONESHOT));
  if (fds.writable >= 0) status.Update(reactor_.Watch(id, kWritable, fds.writable, EPOLLONESHOT));
  session->readers().SetStandIn(&queue_.waiting());
  // Nothing would be heard of it.
  if (!status.ok()) session->readers().Break(status);
}

void QueuedLoop::Unwatch() {
  if (session_ == nullptr) return;
  const Transport::WaitFds fds = session_->readers().descriptors();
  for (const int fd : {fds.bell, fds.readable, fds.writable}) {
    if (fd >= 0) reactor_.Unwatch(fd);
  }
  session_->readers().SetStandIn(nullptr);
  session_ = nullptr;
}

void QueuedLoop::ListenOnce(uint32_t interest) {
  const Transport::WaitFds fds = session_->readers().descriptors();
  const base::Reactor::Id id = id_.load(std::memory_order_relaxed);
  if (fds.readable >= 0 && (interest & Transport::kFrames) != 0) {
    reactor_.ChangeEvents(id, kReadable, fds.readable, EPOLLIN | EPOLLONESHOT);
  }
  if (fds.writable >= 0 && (interest & Transport::kRoom) != 0) {
    reactor_.ChangeEvents(id, kWritable, fds.writable, EPOLLOUT | EPOLLONESHOT);
  }
}

// At the latest: one that is set for an earlier time stays, and costs a turn for nothing.
void QueuedLoop::WakeAt(base::SteadyNs when) {
  if (when >= timer_at_) return;
  ForgetTimer();
  timer_at_ = when;
  base::UntilThereIsMemory([&] { timer_ = reactor_.AddTimer(when, [this] { OnReady(kReadable, 0); }); });
}

// It may have fired.
void QueuedLoop::ForgetTimer() {
  if (timer_ != 0) reactor_.Remove(std::exchange(timer_, 0));
  timer_at_ = base::kNever;
}

}  // namespace nearcall::rpc
