#include "rpc/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/syscall.h"

namespace nearcall::rpc {

namespace {

// How long clients wait for an answer when there is no descriptor even for telling them so.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(10);

base::Fd Accept(int listener) {
  return base::Fd(base::Retry([&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }));
}

base::Fd OpenReserve() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool IsConnectedSeqpacket(int fd) {
  int type = 0;
  int domain = 0;
  socklen_t size = sizeof(int);
  sockaddr_storage peer;
  socklen_t peer_size = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
         ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
}

}  // namespace

Acceptor::Acceptor(ServerCore& core, Poller& poller, OnConnection on_connection)
    : core_(core),
      poller_(poller),
      on_connection_(std::move(on_connection)),
      server_id_(static_cast<uint32_t>(::getpid())) {}

Acceptor::~Acceptor() {
  // In a forked child the names are the parent's; only the descriptors are closed.
  if (!fork_guard_.InChild()) Close();
}

absl::Status Acceptor::Start() {
  auto monitor = transport::StartTimer(base::kNever, [] {});
  if (!monitor.ok()) return monitor.status();
  monitor_ = *std::move(monitor);
  base::MutexLock lock(mutex_);
  reserve_ = OpenReserve();
  return reserve_.valid() ? absl::OkStatus() : base::ErrnoStatus("cannot start a server (/dev/null)");
}

absl::Status Acceptor::Add(std::unique_ptr<transport::Listener> listener, Transports transports) {
  const int fd = listener->fd();
  const uint32_t id = next_id_.fetch_add(1);
  {
    base::MutexLock lock(mutex_);
    doors_[id] = std::make_shared<Door>(Door{.listener = std::move(listener), .transports = std::move(transports)});
  }
  return poller_.Watch(fd, id, [this, id] { AcceptAll(id); });
}

void Acceptor::AcceptAll(uint32_t watch_id) {
  DoorPtr door;
  {
    base::MutexLock lock(mutex_);
    const auto found = doors_.find(watch_id);
    if (found == doors_.end()) return;
    door = found->second;
  }
  while (AcceptOne(*door)) {
  }
}

// False: nobody waits any more, or nobody can be let in now.
bool Acceptor::AcceptOne(const Door& door) {
  base::Fd socket = Accept(door.listener->fd());
  if (!socket.valid()) {
    if (errno == EMFILE || errno == ENFILE) return AcceptWithoutDescriptors(door);
    return errno == ECONNABORTED;
  }
  const absl::Status begun =
      base::OrNoMemory([&] { return Begin(std::move(socket), door.transports, absl::OkStatus()); });
  if (!begun.ok()) core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kWarning, begun.message());
  return true;
}

// No descriptor is left: the one kept for this case serves to tell the client so.
bool Acceptor::AcceptWithoutDescriptors(const Door& door) {
  const absl::Status refusal = base::ErrnoStatus(errno, "the server cannot take another client");
  {
    base::MutexLock lock(mutex_);
    reserve_.Reset();
  }
  base::Fd socket = Accept(door.listener->fd());
  const bool accepted = socket.valid();
  if (accepted) {
    const absl::Status ignored = Begin(std::move(socket), door.transports, refusal);
  } else if (errno != EAGAIN) {
    TryAgainSoon();
  }
  base::MutexLock lock(mutex_);
  // While the refused client has not spoken yet its socket stands where the reserve did; it is opened again with the
  // next.
  reserve_ = OpenReserve();
  return accepted;
}

// Nobody tells when descriptors can be had again (the program uses them for other things, too), and the event that a
// client waits has been used up.
void Acceptor::TryAgainSoon() {
  auto timer = transport::StartTimer(base::AfterNow(kAcceptPause), [this] {
    std::map<uint32_t, DoorPtr> doors;
    {
      base::MutexLock lock(mutex_);
      doors = doors_;
    }
    for (const auto& [id, door] : doors) poller_.WatchAgain(door->listener->fd(), id);
  });
  if (!timer.ok()) return;
  // The former one is destroyed without the lock, which its callback takes.
  base::MutexLock lock(mutex_);
  if (!closed_) std::swap(accept_timer_, *timer);
}

absl::Status Acceptor::Serve(base::Fd socket) {
  if (!IsConnectedSeqpacket(socket.get())) {
    return absl::InvalidArgumentError("Server::ServeFd: not a connected AF_UNIX socket of type SOCK_SEQPACKET");
  }
  Transports all;
  for (const transport::TransportRow& row : transport::Transports()) all.push_back(&row);
  return Begin(std::move(socket), all, absl::OkStatus());
}

absl::Status Acceptor::Begin(base::Fd socket, const Transports& transports, const absl::Status& refusal) {
  auto half_open = std::make_shared<HalfOpen>();
  HalfOpen* raw = half_open.get();
  const uint32_t id = next_id_.fetch_add(1);
  half_open->id = id;
  transport::ServeParams params;
  params.allowed_uids = core_.options.allowed_uids;
  params.transports = transports;
  params.config = {.ring_size_bytes = base::kDefaultRingSize, .expected_clients = core_.options.expected_clients};
  params.terms = {.max_message_size = static_cast<uint32_t>(core_.options.max_message_size),
                  .max_calls_in_flight = static_cast<uint32_t>(core_.options.max_queued_calls)};
  params.server_id = server_id_;
  params.connection_id = id;
  params.admit = [this, raw, refusal](const PeerIdentity& peer) { return Admit(*raw, peer, refusal); };
  const int fd = socket.get();
  half_open->handshake = transport::ServerHandshake::Start(std::move(socket), std::move(params));
  auto timer = transport::StartTimer(base::AfterNow(core_.options.handshake_timeout), [this, id] { Drop(id); });
  if (!timer.ok()) return timer.status();
  half_open->timer = *std::move(timer);

  HalfOpenPtr oldest;
  {
    base::MutexLock lock(mutex_);
    if (closed_) return absl::UnavailableError("the server has shut down");
    if (half_open_.size() >= base::kMaxHalfOpen) oldest = TakeOutOldestSilent();
    half_open_[id] = half_open;  // kept here too: if it is dropped before it is watched, its number is still its own
  }
  if (oldest != nullptr) poller_.Unwatch(oldest->handshake->fd(), oldest->id);
  absl::Status status = base::OrNoMemory([&] { return poller_.Watch(fd, id, [this, id] { Step(id); }); });
  if (IsDropped(*half_open)) poller_.Unwatch(fd, id);
  if (!status.ok()) {
    Drop(id);
    return status;
  }
  Step(id);  // its hello is often there already
  return absl::OkStatus();
}

bool Acceptor::IsDropped(const HalfOpen& half_open) {
  base::MutexLock lock(mutex_);
  return half_open.dropped;
}

// A flood of clients that say nothing must not keep out one that does. Those who have said who they are count against
// their user's limit, and are let finish.
Acceptor::HalfOpenPtr Acceptor::TakeOutOldestSilent() {
  const auto silent =
      std::find_if(half_open_.begin(), half_open_.end(), [](const auto& entry) { return !entry.second->admitted; });
  return silent == half_open_.end() ? nullptr : TakeOut(silent->first);
}

// Asked by the handshake when the kernel has said who the client is.
absl::Status Acceptor::Admit(HalfOpen& half_open, const PeerIdentity& peer, const absl::Status& refusal) {
  if (!refusal.ok()) return refusal;
  if (core_.draining.load(std::memory_order_acquire)) return absl::UnavailableError("the server is shutting down");
  base::MutexLock lock(mutex_);
  if (half_open.dropped) return absl::DeadlineExceededError("the handshake took too long");
  size_t& clients = clients_[peer.uid];
  if (clients >= core_.options.max_connections_per_uid) {
    return absl::ResourceExhaustedError(
        absl::StrCat("user ", peer.uid, " has ", clients,
                     " connections to this server, as many as ServerOptions::max_connections_per_uid allows"));
  }
  ++clients;
  half_open.admitted = true;
  half_open.uid = peer.uid;
  return absl::OkStatus();
}

void Acceptor::Leave(uid_t uid) {
  base::MutexLock lock(mutex_);
  LeaveLocked(uid);
}

void Acceptor::LeaveLocked(uid_t uid) {
  const auto found = clients_.find(uid);
  if (found != clients_.end() && --found->second == 0) clients_.erase(found);
}

void Acceptor::Step(uint32_t id) {
  using Progress = transport::ServerHandshake::Progress;
  HalfOpenPtr half_open;
  {
    base::MutexLock lock(mutex_);
    const auto found = half_open_.find(id);
    if (found == half_open_.end()) return;
    half_open = found->second;
    if (half_open->stepping) {
      half_open->again = true;
      return;
    }
    half_open->stepping = true;
  }
  for (;;) {
    Progress progress = Progress::kFailed;  // of those for whom there is no memory
    try {
      progress = half_open->handshake->Step();
    } catch (const std::bad_alloc&) {
    }
    if (progress != Progress::kWaiting) return End(id, progress);
    base::MutexLock lock(mutex_);
    if (!half_open->again) {
      half_open->stepping = false;
      return;
    }
    half_open->again = false;
  }
}

// The handshake is removed, unsuccessfully.
Acceptor::HalfOpenPtr Acceptor::TakeOut(uint32_t id) {
  auto node = half_open_.extract(id);
  if (!node) return nullptr;
  HalfOpenPtr half_open = std::move(node.mapped());
  half_open->dropped = true;
  if (half_open->admitted) LeaveLocked(half_open->uid);
  return half_open;
}

void Acceptor::End(uint32_t id, transport::ServerHandshake::Progress progress) {
  HalfOpenPtr half_open;
  const bool done = progress == transport::ServerHandshake::Progress::kDone;
  {
    base::MutexLock lock(mutex_);
    if (!done) {
      half_open = TakeOut(id);
    } else if (auto node = half_open_.extract(id)) {
      half_open = std::move(node.mapped());
    }
  }
  if (half_open == nullptr) return;  // its time was up
  poller_.Unwatch(half_open->handshake->fd(), id);
  half_open->timer.reset();
  if (done) {
    on_connection_(half_open->handshake->Take());
  } else if (!absl::IsUnavailable(half_open->handshake->error())) {
    // One that has just gone again is no news: so does a starting server that looks whose names are alive.
    core_.logger->Log({base::LogKind::kTurnedAway, half_open->handshake->peer_uid()}, LogSeverity::kWarning,
                      absl::StrCat("a client was turned away: ", half_open->handshake->error().message()));
  }
}

// Its time is up.
void Acceptor::Drop(uint32_t id) {
  HalfOpenPtr half_open;
  {
    base::MutexLock lock(mutex_);
    half_open = TakeOut(id);
  }
  if (half_open != nullptr) poller_.Unwatch(half_open->handshake->fd(), id);
}

void Acceptor::Close() {
  std::map<uint32_t, DoorPtr> doors;
  std::map<uint32_t, HalfOpenPtr> half_open;
  std::unique_ptr<transport::Timer> accept_timer;
  {
    base::MutexLock lock(mutex_);
    closed_ = true;
    accept_timer.swap(accept_timer_);
    doors.swap(doors_);
    half_open.swap(half_open_);
  }
  for (auto& [id, door] : doors) {
    door->listener->Unlink();
    poller_.Unwatch(door->listener->fd(), id);
  }
  for (auto& [id, half] : half_open) poller_.Unwatch(half->handshake->fd(), id);
}

std::string Acceptor::DebugString() {
  base::MutexLock lock(mutex_);
  std::string text;
  for (const auto& [id, door] : doors_) absl::StrAppend(&text, "listening: ", door->listener->name(), "\n");
  absl::StrAppend(&text, "handshakes under way: ", half_open_.size(), "\n");
  return text;
}

}  // namespace nearcall::rpc
