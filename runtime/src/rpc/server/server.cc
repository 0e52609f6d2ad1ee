// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "base/syscall.h"
#include "base/thread.h"
#include "rpc/protobuf_log.h"
#include "transport/rendezvous/service_manager.h"

namespace nearcall::rpc {

namespace {

// One thread reads best while the clients need the other CPUs; more than two were not needed by any load that was
// measured.
size_t PollerCount(const ServerOptions& options) {
  return options.event_queue == nullptr && std::thread::hardware_concurrency() >= 4 ? 2 : 1;
}

constexpr char kWaitInChild[] =
    "Server::Wait in a forked child: the server was started before fork(), and runs in the parent only; a program that "
    "calls daemon(3) or fork(2) does so before ServerBuilder::Start";
constexpr char kWaitInHandler[] =
    "Server::Wait in a handler of the same server would never end; it returns at once. Call Shutdown there, and Wait "
    "elsewhere";
constexpr char kWaitInQueue[] =
    "Server::Wait in EventQueue::Run() of the server's own queue would never end; it returns at once. Call Shutdown "
    "there, and Wait elsewhere";
constexpr char kDestroyedInHandler[] =
    "a server is destroyed by one of its own handlers (exit(3) in a handler?): it hangs up on its clients, and is left "
    "in memory. Call Shutdown there, and let main() end";
constexpr char kDestroyedInQueue[] =
    "a server is destroyed in EventQueue::Run() of its own queue, while calls of it wait for what only that runs: it "
    "hangs up on its clients, and is left in memory. Call Shutdown there, and destroy it outside";

}  // namespace

ServerImpl::ServerImpl(ServerOptions options)
    : poller_count_(PollerCount(options)), core_(std::move(options), poller_count_) {}

bool ServerImpl::OnItsThread() const {
  if (core_.reactor() != nullptr) return core_.reactor()->IsCurrent() && !fork_guard_.InChild();
  return core_.threads.OnItsThread() || core_.canceller->IsCurrent();
}

absl::Status ServerImpl::Start(std::vector<Door::Entry> entries) {
  ProtobufLog::Install();
  if (core_.options.health) core_.services.AddStandard(&health_);
  if (core_.options.reflection) core_.services.AddStandard(&reflection_);
  if (core_.options.stats) core_.services.AddStandard(&stats_);
  if (absl::Status status = core_.canceller->Start(); !status.ok()) return status;
  core_.on_drained = [this] { OnDrained(); };
  core_.on_place_given = [this] {
    for (const auto& poller : pollers_) poller->resumptions().OnPlaceGiven();
  };
  core_.on_succeeded = [this] { BeginShutdown(core_.options.successor_grace); };
  for (size_t i = 0; i < poller_count_; ++i) pollers_.push_back(std::make_unique<Poller>(core_, i));
  for (const auto& poller : pollers_) {
    if (absl::Status status = poller->Start(); !status.ok()) return status;
  }
  auto monitor = transport::StartTimer(
      base::kNever, [] {}, core_.reactor());
  if (!monitor.ok()) return monitor.status();
  monitor_ = *std::move(monitor);
  door_ = std::make_unique<Door>(core_, admission_, ids_, [this](auto connection, auto lease) {
    OnConnection(std::move(connection), std::move(lease));
  });
  if (core_.options.handle_signals) {
    absl::StatusOr<std::unique_ptr<Signals>> signals = Signals::Catch();
    if (!signals.ok()) return signals.status();
    signals_ = *std::move(signals);
    door_->WatchEvent(signals_->fd(), [this] { OnSignal(); });
  }
  core_.ends_when_alone = parent_.valid();
  if (absl::Status status = door_->Start(std::move(entries)); !status.ok()) return status;
  if (parent_.valid()) {
    if (absl::Status status = door_->Serve(std::move(parent_)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// On the door's thread, or in the event queue.
void ServerImpl::OnConnection(transport::Connection connection, ConnectionIds::LeasePtr lease) {
  Poller* poller = std::min_element(pollers_.begin(), pollers_.end(), [](const auto& a, const auto& b) {
                     return a->mailbox().connection_count() < b->mailbox().connection_count();
                   })->get();
  const uint32_t id = connection.peer_id;
  const uid_t uid = connection.peer.uid;
  absl::StatusOr<std::shared_ptr<session::ServerSession>> session = base::OrNoMemory([&] {
    // It counts, and its number is taken, until it is detached from its poller.
    const std::shared_ptr<void> admitted(&admission_, [this, uid](void*) {
      if (!fork_guard_.InChild()) admission_.Leave(uid);
    });
    const auto on_gone = [poller, lease, admitted] { poller->Remove(lease->id()); };
    return session::ServerSession::Start(std::move(connection),
                                         {.max_message_size = core_.options.max_message_size,
                                          .max_calls = core_.options.max_queued_calls,
                                          .stream_window = static_cast<uint32_t>(core_.options.stream_window_bytes),
                                          .max_descriptors = core_.options.max_descriptors_per_message,
                                          .max_attachment_bytes = core_.options.max_attachment_bytes,
                                          .trust_sender = core_.options.trust_sender,
                                          .reactor = core_.reactor()},
                                         core_.logger,
                                         {.on_gone = on_gone,
                                          .on_ring = [poller, id] { poller->resumptions().LookAt(id); },
                                          .on_ping = [this] { return core_.progress(); }},
                                         core_.quota->AccountOf(uid));
  });
  if (!session.ok()) {
    core_.logger->Log({base::LogKind::kConnection, uid}, LogSeverity::kError, session.status().message());
    return;
  }
  stuck_calls_.Add(*session);
  poller->Add(*session);
  // Shutdown() may have looked at the connections just before. (Or a moment after, and calls of this one may run.)
  if (core_.draining.load(std::memory_order_seq_cst)) {
    (*session)->end().SendGoAway();
    if (stage_.hung_up()) (*session)->HangUp();
    OnDrained();
  }
}

// Who sends a second one does not want to wait.
void ServerImpl::OnSignal() {
  BeginShutdown(signals_->Count() == 1 ? core_.options.signal_grace : absl::ZeroDuration());
}

absl::Status ServerImpl::ServeFd(int fd) {
  base::Fd socket(fd);
  if (fork_guard_.InChild()) {
    return absl::FailedPreconditionError("the server was started before fork(); a child must start one of its own");
  }
  if (core_.draining.load(std::memory_order_acquire)) return absl::UnavailableError("the server has shut down");
  return door_->Serve(std::move(socket));
}

absl::StatusOr<std::shared_ptr<Channel>> ServerImpl::InProcessChannel(ChannelOptions options) {
  const base::CancelDisabled uncancelled;
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return base::ErrnoStatus("cannot make a channel to a server of this process (socketpair)");
  }
  base::Fd clients(ends[1]);
  // Somebody may have to take the turns of the server's queue for that.
  if (core_.reactor() != nullptr) options.lazy = true;
  if (absl::Status served = ServeFd(ends[0]); !served.ok()) return served;
  auto channel = Channel::Connect(absl::StrCat("fd:", clients.get()), std::move(options));
  // It is the channel's now, unless that found fault with its options.
  if (!absl::IsInvalidArgument(channel.status())) static_cast<void>(clients.Release());
  return channel;
}

void ServerImpl::Wait() {
  const base::CancelDisabled uncancelled;
  if (fork_guard_.InChild()) {
    // The parent's logger may have been in use at the fork.
    base::Logger(core_.options.log_sink).Log({}, LogSeverity::kError, kWaitInChild);
    return;
  }
  if (stage_.closed()) return;
  if (OnItsThread()) {
    return core_.logger->Log({}, LogSeverity::kError, core_.reactor() == nullptr ? kWaitInHandler : kWaitInQueue);
  }
  if (core_.reactor() != nullptr) return RunUntilClosed();
  stage_.WaitUntilClosed();
}

// In place of whoever takes the turns of the queue else.
void ServerImpl::RunUntilClosed() {
  while (!stage_.closed()) core_.reactor()->Turn(std::numeric_limits<size_t>::max(), /*timeout_ms=*/-1);
}

void ServerImpl::Shutdown(absl::Duration grace) {
  const base::CancelDisabled uncancelled;
  if (!fork_guard_.InChild()) BeginShutdown(grace);
}

void ServerImpl::BeginShutdown(absl::Duration grace) {
  const base::SteadyNs until = base::AfterNow(std::max(grace, absl::ZeroDuration()));
  const ServerStage::Drains drains = stage_.Drain(until);
  if (drains == ServerStage::Drains::kAlready) return;
  if (drains == ServerStage::Drains::kNow) TellEverybody();
  auto timer = base::OrNoMemory([&] {
    return transport::StartTimer(
        until, [this] { HangUpAll(); }, core_.reactor());
  });
  if (!timer.ok()) return HangUpAll();
  stage_.KeepTimer(until, *std::move(timer));
  OnDrained();
}

void ServerImpl::TellServiceManager() {
  tells_service_manager_ = true;
  transport::TellServiceManager("READY=1");
}

void ServerImpl::TellEverybody() {
  if (tells_service_manager_) transport::TellServiceManager("STOPPING=1");
  core_.draining.store(true, std::memory_order_seq_cst);
  door_->Close();
  for (const auto& poller : pollers_) {
    for (const auto& session : poller->mailbox().Sessions()) {
      session->end().SendGoAway();
      session->calls().FailStandard("the server shuts down");
    }
  }
}

// Called when the last call ends, and when a client has hung up: which it does when it has heard of the end, and all
// that it had begun before has been answered. Whoever hung up on it earlier would lose what lies unread between the
// two.
//
// In a server that is the child of its client the end begins so, too: what that has sent one way is still done.
void ServerImpl::OnDrained() {
  if (core_.ends_when_alone && !core_.draining.load(std::memory_order_seq_cst)) {
    if (!HasClients()) BeginShutdown(core_.options.signal_grace);
    return;
  }
  if (core_.active_calls.load(std::memory_order_seq_cst) != 0) return;
  if (stage_.hung_up() || !HasClients()) HangUpAll();
}

bool ServerImpl::HasClients() const {
  // The door first: who is not there any more is at a poller.
  return !door_->IsEmpty() || std::any_of(pollers_.begin(), pollers_.end(),
                                          [](const auto& poller) { return poller->mailbox().connection_count() != 0; });
}

void ServerImpl::HangUpAll() {
  stage_.HangUp();
  for (const auto& poller : pollers_) {
    for (const auto& session : poller->mailbox().Sessions()) session->HangUp();
  }
  if (core_.active_calls.load(std::memory_order_seq_cst) != 0) stuck_calls_.Watch();
  stage_.Close([this] {
    if (core_.active_calls.load(std::memory_order_seq_cst) != 0) return false;
    // For RunUntilClosed(). Once this is closed it may not be there any more.
    if (core_.reactor() != nullptr) core_.reactor()->Wake();
    return true;
  });
}

bool ServerImpl::TryEndHere() {
  const bool in_queue = core_.reactor() != nullptr;
  const bool in_user_code = !in_queue || core_.canceller->IsCurrent() || pollers_.front()->in_handler();
  if (!in_user_code && EndsInQueue()) return true;
  core_.logger->Log({}, LogSeverity::kError, in_user_code ? kDestroyedInHandler : kDestroyedInQueue);
  BeginShutdown(absl::ZeroDuration());
  core_.logger->Flush();                                                         // the process may be about to end
  if (in_queue) core_.reactor()->users.fetch_sub(1, std::memory_order_release);  // the queue may end before it
  return false;
}

// Takes turns of the server alone, within one of the queue.
bool ServerImpl::EndsInQueue() {
  BeginShutdown(absl::ZeroDuration());
  HangUpAll();
  bool goes_on = true;
  while (!stage_.closed() && goes_on) {
    goes_on = core_.canceller->RunHere();
    goes_on = pollers_.front()->TakeTurn(std::numeric_limits<size_t>::max()) != 0 || goes_on;
  }
  return stage_.closed();
}

ServerImpl::~ServerImpl() {
  const base::CancelDisabled uncancelled;
  // In a forked child the threads are the parent's, and so is all that they do; only descriptors are closed.
  if (!fork_guard_.InChild()) Destroy();
}

void ServerImpl::Destroy() {
  if (door_ != nullptr) {
    BeginShutdown(absl::ZeroDuration());
    if (core_.reactor() != nullptr) HangUpAll();  // in its Run() nobody waits for the end of the grace
    Wait();
    stuck_calls_.Stop();
    core_.answering->WaitUntilEmpty();
  }
  if (door_ != nullptr) door_->Stop();
  for (const auto& poller : pollers_) poller->Stop();
  core_.threads.Join();
  for (const auto& poller : pollers_) poller->Clear();
  stage_.StopTimer();
}

void ServerImpl::SetServing(absl::string_view service, bool serving) {
  if (!fork_guard_.InChild()) health_.states().Set(service, serving);
}

std::string ServerImpl::DebugString() const {
  std::string text =
      absl::StrCat("services: ", core_.services.DebugString(), "\nhandlers running: ", core_.slots.taken(), " of ",
                   core_.options.max_handler_threads, ", calls active: ", core_.active_calls.load(),
                   ", started: ", core_.calls_started.load(), ", refused: ", core_.calls_refused.load(),
                   ", one-way and failed: ", core_.one_way_failed.load(), ", violations: ", core_.violations.load(),
                   ", threads: ", core_.threads.threads(), core_.draining.load() ? ", draining\n" : "\n");
  absl::StrAppend(&text, core_.quota->DebugString(), door_->DebugString());
  for (const auto& poller : pollers_) absl::StrAppend(&text, poller->DebugString());
  return text;
}

}  // namespace nearcall::rpc
