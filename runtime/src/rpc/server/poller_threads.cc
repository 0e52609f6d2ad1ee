// SPDX-License-Identifier: Apache-2.0
#include <cxxabi.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/syscall.h"
#include "rpc/server/poller.h"

// Poller: its threads, and who of them leads.
namespace nearcall::rpc {

namespace {

// What an event in epoll is about: a kind in the high half, an id in the low one.
enum EventKind : uint64_t { kWakeEvent, kConnectionEvent };

uint64_t EventData(EventKind kind, uint32_t id) {
  return uint64_t{kind} << 32 | id;
}

constexpr int kEventsPerTurn = 64;

template <typename Map, typename Value>
void Keep(Map& map, uint32_t id, const Value& value) {
  base::UntilThereIsMemory([&] { map[id] = value; });
}

// An event that is lost is a client that waits for ever.
template <typename List, typename Item>
void AddMail(List& list, const Item& item) {
  base::UntilThereIsMemory([&] { list.push_back(item); });
}

void SleepUntil(base::SteadyNs when) {
  const timespec deadline = base::ToTimespec(when);
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, nullptr);
}

absl::Status AddToEpoll(int epoll, int fd, uint32_t events, uint64_t data) {
  epoll_event event{.events = events, .data = {.u64 = data}};
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return base::ErrnoStatus("cannot watch a descriptor (epoll_ctl)");
}

}  // namespace

Poller::~Poller() = default;

int64_t Poller::MaxSpinNs(const ServerOptions& options) {
  return absl::ToInt64Nanoseconds(std::max(options.max_spin, absl::ZeroDuration()));
}

absl::Status Poller::Start() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return base::ErrnoStatus("cannot start a server (epoll_create1)");
  wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return base::ErrnoStatus("cannot start a server (eventfd)");
  if (absl::Status status = AddToEpoll(epoll_.get(), wake_.get(), EPOLLIN | EPOLLET, EventData(kWakeEvent, 0));
      !status.ok()) {
    return status;
  }
  free_calls_.reserve(kMaxFreeCalls);
  for (size_t i = 0; i < ServerCore::kThreadsPerPoller; ++i) {
    if (absl::Status started = core_.threads.TryRun([this] { Serve(); }); !started.ok()) {
      Stop();
      return started;
    }
  }
  return absl::OkStatus();
}

void Poller::Serve() {
  ThreadId me;
  {
    base::MutexLock lock(mutex_);
    me = ++last_thread_;
    ++serving_;
  }
  try {
    ServeAs(me);
  } catch (abi::__forced_unwind&) {
    // A handler has called pthread_exit(3).
    Leave(me);
    ReplaceThisThread();
    throw;
  }
  Leave(me);
}

void Poller::ServeAs(ThreadId me) {
  mutex_.Lock();
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (leader_ == 0) TakeTheLead(me);
    if (leader_ == me && state_ == State::kWorking) {
      mutex_.Unlock();
      Work(me);
      mutex_.Lock();
      // The lead was taken while this thread was in a handler, or about to sleep. One to stand by is enough.
      if (leader_ != me && SomebodyStandsBy()) break;
    } else {
      WaitForEvents(me);
    }
  }
  mutex_.Unlock();
}

void Poller::Leave(ThreadId me) {
  bool led;
  {
    base::MutexLock lock(mutex_);
    led = leader_ == me;
    if (led) leader_ = 0;
    --serving_;
  }
  if (led || stopping_.load(std::memory_order_relaxed)) Wake();  // the next one
}

// Without the last one nothing would ever be read again: it is tried until it succeeds.
void Poller::ReplaceThisThread() {
  while (!stopping_.load(std::memory_order_relaxed) && !core_.threads.TryRunInstead([this] { Serve(); }).ok()) {
    {
      base::MutexLock lock(mutex_);
      if (serving_ != 0) return;
    }
    SleepUntil(base::AfterNow(absl::Milliseconds(1)));
  }
}

bool Poller::SomebodyStandsBy() const {
  // A leader that sleeps is one of those who wait.
  return waiting_ > (state_ == State::kAsleep ? 1 : 0);
}

void Poller::WaitForEvents(ThreadId me) {
  ++waiting_;
  mutex_.Unlock();
  std::array<epoll_event, kEventsPerTurn> events;
  const int timeout_ms = static_cast<int>(base::kIdleWaitSliceNs / 1'000'000);
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  mutex_.Lock();
  --waiting_;
  TakeEvents(events.data(), std::max(count, 0));
  if (mail_waits_.load(std::memory_order_relaxed) || wants_slot_.load(std::memory_order_relaxed) || count > 0) {
    DecideWhoLeads(me);
  }
}

void Poller::TakeEvents(const epoll_event* events, int count) {
  for (int i = 0; i < count; ++i) {
    const uint32_t id = static_cast<uint32_t>(events[i].data.u64);
    switch (events[i].data.u64 >> 32) {
      case kWakeEvent: {
        uint64_t ignored;
        [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof(ignored));
        break;
      }
      case kConnectionEvent:
        AddMail(mail_.rung, id);
        mail_waits_.store(true, std::memory_order_release);
        break;
    }
  }
}

void Poller::DecideWhoLeads(ThreadId me) {
  while (!stopping_.load(std::memory_order_relaxed) && leader_ != 0) {
    // The leader looks at its mail itself.
    if (state_ == State::kWorking) return;
    // Who is awake leads; a leader that sleeps stands by from now on.
    if (state_ == State::kAsleep) return TakeTheLead(me);
    const uint64_t turn = handler_turn_;
    const base::SteadyNs stuck_at = handler_since_ + base::kStuckHandlerNs;
    if (base::NowNs() >= stuck_at) {
      TakeTheLead(me);
      if (!SomebodyStandsBy()) StartThread();
      return;
    }
    mutex_.Unlock();
    SleepUntil(stuck_at);
    mutex_.Lock();
    if (handler_turn_ != turn) return;
  }
}

void Poller::TakeTheLead(ThreadId me) {
  if (leader_ != me) ++lead_changes_;
  leader_ = me;
  state_ = State::kWorking;
}

void Poller::StartThread() {
  // If none can be had, the next leader that gets stuck is not replaced; all else works.
  core_.threads.TryRun([this] { Serve(); }).IgnoreError();
}

void Poller::Wake() {
  const uint64_t one = 1;
  // Full (EAGAIN) means that it is readable already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

bool Poller::MailNeedsWake() {
  mail_waits_.store(true, std::memory_order_release);
  return state_ != State::kWorking;
}

void Poller::Add(const std::shared_ptr<session::ServerSession>& session) {
  const uint32_t id = session->id();
  // Before the leader can know it, and go to sleep: what is not watched yet cannot be asked to ring.
  if (absl::Status status = WatchConnection(*session); !status.ok()) {
    core_.logger->Log({base::LogKind::kConnection, session->peer().uid}, LogSeverity::kError, status.message());
    session->HangUp();
  }
  bool wake;
  {
    base::MutexLock lock(mutex_);
    Keep(sessions_, id, session);
    AddMail(mail_.added, session);
    wake = MailNeedsWake();
  }
  if (wake) Wake();
  // It may have ended before it was known here, and then Remove() has found nothing. (If that is still to be told,
  // Remove() will be called.)
  if (session->gone_was_told()) Remove(id);
}

absl::Status Poller::WatchConnection(session::ServerSession& session) {
  const transport::Transport::WaitFds fds = session.transport().wait_fds();
  const uint64_t data = EventData(kConnectionEvent, session.id());
  absl::Status status;
  if (fds.bell >= 0) status.Update(AddToEpoll(epoll_.get(), fds.bell, EPOLLIN | EPOLLET, data));
  // Of these nothing is reported before WatchUntilNews().
  if (fds.readable >= 0) status.Update(AddToEpoll(epoll_.get(), fds.readable, EPOLLONESHOT, data));
  if (fds.writable >= 0) status.Update(AddToEpoll(epoll_.get(), fds.writable, EPOLLONESHOT, data));
  return status;
}

void Poller::WatchUntilNews(session::ServerSession& session, uint32_t interest) {
  const transport::Transport::WaitFds fds = session.transport().wait_fds();
  const auto watch = [&](int fd, uint32_t events) {
    epoll_event event{.events = events | EPOLLONESHOT, .data = {.u64 = EventData(kConnectionEvent, session.id())}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  };
  if (fds.readable >= 0 && (interest & transport::Transport::kFrames) != 0) watch(fds.readable, EPOLLIN);
  if (fds.writable >= 0 && (interest & transport::Transport::kRoom) != 0) watch(fds.writable, EPOLLOUT);
}

// After a handler has answered.
void Poller::LookAgainAt(session::ServerSession& session) {
  if (session.NeedsALook()) LookAt(session.id());
}

void Poller::LookAt(uint32_t connection_id) {
  bool wake;
  {
    base::MutexLock lock(mutex_);
    AddMail(mail_.rung, connection_id);
    wake = MailNeedsWake();
  }
  if (wake) Wake();
}

bool Poller::TakeAgain(ServerCallImpl& call) {
  const bool urgent = call.priority() == Priority::kUrgent;
  // While others wait for places it is not served before them.
  if (!wants_slot_.load(std::memory_order_relaxed) && core_.slots.TryTake(urgent, call.session().account()))
    return true;
  base::Waiter place;
  call.BeginWaitForPlace(place);
  bool wake;
  {
    base::MutexLock lock(mutex_);
    AddMail(mail_.returning, &call);
    wake = MailNeedsWake();
  }
  if (wake) Wake();
  while (!place.finished()) place.Wait(base::kNever);
  return call.has_place();
}

void Poller::Remove(uint32_t connection_id) {
  bool wake;
  {
    base::MutexLock lock(mutex_);
    const auto found = sessions_.find(connection_id);
    if (found == sessions_.end()) return;
    AddMail(mail_.removed, connection_id);
    wake = MailNeedsWake();
  }
  if (wake) Wake();
}

void Poller::OnSlotGiven() {
  if (!wants_slot_.exchange(false, std::memory_order_seq_cst)) return;
  // Like mail, and not a mere wake-up: a standby would take that while the leader is just about to sleep.
  bool wake;
  {
    base::MutexLock lock(mutex_);
    wake = MailNeedsWake();
  }
  if (wake) Wake();
}

void Poller::Stop() {
  stopping_.store(true, std::memory_order_seq_cst);
  if (wake_.valid()) Wake();
}

void Poller::Clear() {
  hot_.clear();
  for (auto& [id, connection] : connections_) {
    queue_.Remove(connection->queue, [](ServerCallImpl& call) {
      // (None waits for its place: the server has ended, so all handlers have.)
      call.Reset();
      delete &call;
    });
  }
  connections_.clear();
  free_calls_.clear();
  std::unordered_map<uint32_t, std::shared_ptr<session::ServerSession>> sessions;
  Mail mail;
  {
    base::MutexLock lock(mutex_);
    sessions.swap(sessions_);
    std::swap(mail, mail_);
  }
  for (auto& [id, session] : sessions) session->Detach();
}

std::vector<std::shared_ptr<session::ServerSession>> Poller::Sessions() {
  std::vector<std::shared_ptr<session::ServerSession>> all;
  base::MutexLock lock(mutex_);
  const size_t count = sessions_.size();
  base::UntilThereIsMemory([&] { all.reserve(count); });
  for (const auto& [id, session] : sessions_) all.push_back(session);
  return all;
}

size_t Poller::connection_count() {
  base::MutexLock lock(mutex_);
  return sessions_.size();
}

std::string Poller::DebugString() {
  std::string text;
  {
    base::MutexLock lock(mutex_);
    static constexpr const char* kStates[] = {"working", "in a handler", "asleep"};
    absl::StrAppend(&text, "poller: ", sessions_.size(), " connections, ", serving_, " threads, leader ",
                    kStates[static_cast<int>(state_)], ", lead changed hands ", lead_changes_, " times\n");
  }
  absl::StrAppend(&text, "  requests waiting for a handler: low ", queue_.calls(0), ", normal ", queue_.calls(1),
                  ", high ", queue_.calls(2), ", urgent ", queue_.calls(3), "\n");
  for (const auto& session : Sessions()) absl::StrAppend(&text, "  ", session->DebugString(), "\n");
  return text;
}

}  // namespace nearcall::rpc
