// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "base/syscall.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/connect_socket.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"
#include "transport/rendezvous/listening_process.h"
#include "transport/rendezvous/passed_fds.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/side_socket.h"

namespace nearcall::transport {

namespace {

absl::Status NoAnswer() {
  return absl::DeadlineExceededError(
      "the server took the connection but did not answer the hello in time; is it stopped?");
}

absl::Status TooOld() {
  return absl::FailedPreconditionError(
      "the server does not know what a client with an event queue needs (it is of an older version); update it, or "
      "connect without ChannelOptions::event_queue");
}

absl::Status NoHeirAnswers() {
  return absl::UnavailableError(
      "no server listens: the process that did is dead, and nobody answers on the socket that it left, which another "
      "process, a child of it perhaps, still holds open; start the server");
}

// The server's answer: when it must be here, which depends on whether the process that listens lives.
class AnswerWait {
 public:
  AnswerWait(const base::Fd& socket, bool has_listener, base::SteadyNs deadline) : deadline_(deadline) {
    if (!has_listener) return;
    listener_.emplace(socket);
    if (listener_->IsDead()) OnListenerDead();
  }

  // Why there is nothing to wait for any more.
  absl::Status Check() {
    if (ListenerFd() >= 0 && listener_->IsDead()) OnListenerDead();
    if (base::NowNs() < deadline_) return absl::OkStatus();
    return is_orphan_ ? NoHeirAnswers() : NoAnswer();
  }

  base::SteadyNs deadline() const { return deadline_; }
  // Readable when Check() has something new to say. poll(2) passes over a negative one.
  int ListenerFd() const { return listener_ && !is_orphan_ ? listener_->fd() : -1; }

 private:
  void OnListenerDead() {
    is_orphan_ = true;
    deadline_ = std::min(deadline_, base::AddNs(base::NowNs(), base::kHeirAnswerNs));
  }

  base::SteadyNs deadline_;
  std::optional<ListeningProcess> listener_;
  bool is_orphan_ = false;
};

// One handshake, the client's half. Never blocks.
class ClientHandshake {
 public:
  // `child`: the server, if this process has started it. (Whoever made an inherited pair of sockets need not be there
  // any more.)
  ClientHandshake(base::Fd socket, std::shared_ptr<Child> child, const Address& address, const ConnectParams& params)
      : socket_(std::move(socket)),
        child_(std::move(child)),
        child_pidfd_(child_ == nullptr ? base::Fd() : base::Duplicate(child_->pidfd())),
        address_(address),
        params_(params),
        wait_(socket_, address_.kind == Address::Kind::kName || address_.kind == Address::Kind::kPath,
              params_.deadline) {}

  ~ClientHandshake() {
    CloseSocket(std::move(socket_));
    if (child_ != nullptr) child_->Dismiss(Child::Ask::kByTerm);
  }

  // The server hung up instead of saying anything: there were too many who had not said hello yet, or it is going away.
  bool hung_up() const { return hung_up_; }

  absl::Status Begin() {
    if (absl::Status prepared = PrepareToIdentify(socket_, /*accept_fds=*/true); !prepared.ok()) return prepared;
    absl::Status sent = SendHello(
        socket_,
        Encode(ClientHello{.features = params_.features, .transports = WantedTransports(), .terms = params_.terms}));
    hung_up_ = absl::IsUnavailable(sent);
    return sent;
  }

  // nullopt: no answer yet. Then it is to be called again when one of fds() is readable, or at when().
  std::optional<absl::StatusOr<Connection>> Step() {
    auto message = TakeAnswer();
    hung_up_ = absl::IsUnavailable(message.status());
    if (child_ != nullptr && (hung_up_ || IsWaiting(message))) return StepWithChild(message.status());
    if (!message.ok()) return message.status();
    if (message->has_value()) return OnAnswer(**message);
    if (absl::Status waits = wait_.Check(); !waits.ok()) return waits;
    return std::nullopt;
  }

  DialFds fds() const {
    if (child_ != nullptr) return {hung_up_ ? -1 : socket_.get(), child_pidfd_.get()};
    return {socket_.get(), wait_.ListenerFd()};
  }
  base::SteadyNs when() const { return hung_up_ && child_ != nullptr ? fate_until_ : wait_.deadline(); }

 private:
  using Message = absl::StatusOr<std::optional<HelloMessage>>;

  static bool IsWaiting(const Message& message) { return message.ok() && !message->has_value(); }

  // It says nothing, and that is all it has said. Its fate is worth waiting for.
  std::optional<absl::StatusOr<Connection>> StepWithChild(const absl::Status& hang_up) {
    if (const std::optional<std::string> fate = child_->Fate()) return EndedTooSoon(*fate);
    const base::SteadyNs now = base::NowNs();
    if (!hung_up_) return now < wait_.deadline() ? std::nullopt : std::optional(SaysNothing());
    if (fate_until_ == 0) fate_until_ = base::AddNs(now, base::kFateNs);
    if (now < fate_until_) return std::nullopt;
    return hang_up;
  }

  absl::StatusOr<Connection> EndedTooSoon(const std::string& fate) const {
    return absl::UnavailableError(
        absl::StrCat("the program (pid ", child_->pid(), ") ", fate,
                     " before it answered; what it has said of that is on standard error. A server that is started "
                     "like this calls ServerBuilder::Listen(\"inherited:\")"));
  }

  absl::StatusOr<Connection> SaysNothing() const {
    return absl::DeadlineExceededError(
        absl::StrCat("the program (pid ", child_->pid(),
                     ") runs and has not answered in time (ChannelOptions::handshake_timeout), so it is ended. Does it "
                     "call ServerBuilder::Listen(\"inherited:\"), in the process that was started?"));
  }

  uint32_t WantedTransports() const {
    uint32_t wanted = 0;
    for (const TransportRow& row : params_.transports) {
      if (row.MeetsAtSocket() && row.IsMeantBy(address_.transport)) wanted |= uint32_t{1} << row.bit;
    }
    return wanted;
  }

  // Taken, unless it brings descriptors.
  absl::StatusOr<std::optional<HelloMessage>> TakeAnswer() {
    auto message = ReceiveHello(socket_, Taking::kLook);
    if (!message.ok() || !message->has_value() || (*message)->brings_fds) return message;
    return ReceiveHello(socket_, Taking::kTake);
  }

  absl::StatusOr<Connection> OnAnswer(const HelloMessage& message) {
    // Who it is comes first: what somebody else says does not matter, and what he passes is not taken.
    if (absl::Status trust = CheckSender(message); !trust.ok()) return trust;
    const auto hello = DecodeServerHello(message.bytes);
    if (!hello.ok()) return hello.status();
    if (!hello->status.ok()) return hello->status;
    if ((params_.features & ~hello->features & ~uint64_t{kDescriptors}) != 0) return TooOld();
    auto fds = TakeFds(*hello, message);
    if (!fds.ok()) return fds.status();
    absl::Status sided = TakeSideSocket(*hello, *fds);
    auto transport = sided.ok() ? Attach(*hello, *fds, *message.sender) : std::move(sided);
    if (!transport.ok()) Discard(*fds);
    absl::Status acked = SendHello(socket_, EncodeAck(transport.status().code()));
    if (!transport.ok()) return transport.status();
    if (!acked.ok()) return acked;
    return Finish(*hello, *std::move(transport), *message.sender);
  }

  absl::Status CheckSender(const HelloMessage& message) const {
    if (child_ != nullptr) {
      if (absl::Status is_it = CheckIsChild(message.sender ? message.sender->pid : 0); !is_it.ok()) return is_it;
      // Whatever user it has become: it is what was started.
      if (params_.allowed_uids.empty()) return absl::OkStatus();
    }
    const uid_t uid = message.sender ? message.sender->uid : static_cast<uid_t>(-1);
    if (IsTrusted(uid, params_.allowed_uids)) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("the server runs as uid ", uid, ", trusted are ",
                                                    DescribeTrusted(params_.allowed_uids),
                                                    "; add it to ChannelOptions::allowed_uids if it is the right one"));
  }

  // And nobody to whom it may have passed the socket.
  absl::Status CheckIsChild(pid_t pid) const {
    if (pid == child_->pid()) return absl::OkStatus();
    return absl::PermissionDeniedError(
        absl::StrCat("the answer is from process ", pid, ", and the program that was started is ", child_->pid(),
                     "; a script starts the server with exec, so that it becomes the server"));
  }

  static absl::Status CheckFds(const ServerHello& hello, const HelloMessage& message) {
    // At the limit of this process the kernel drops descriptors and says nothing else.
    if (message.lost_fds) return base::ErrnoStatus(EMFILE, "receive the connection's descriptors");
    if (message.fds.size() == hello.fd_count) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("the server announced ", hello.fd_count, " descriptors and passed ", message.fds.size()));
  }

  // Takes the message that was looked at, for what it brings.
  absl::StatusOr<std::vector<base::Fd>> TakeFds(const ServerHello& hello, const HelloMessage& looked_at) const {
    HelloMessage taken;
    if (looked_at.brings_fds) {
      auto message = ReceiveHello(socket_, Taking::kTake);
      if (!message.ok()) return message.status();
      if (message->has_value()) taken = **std::move(message);
    }
    absl::Status checked = CheckFds(hello, taken);
    if (checked.ok()) return std::move(taken.fds);
    Discard(taken.fds);
    return checked;
  }

  // The last of them, if there is one.
  absl::Status TakeSideSocket(const ServerHello& hello, std::vector<base::Fd>& fds) {
    if ((hello.features & params_.features & kDescriptors) == 0) return absl::OkStatus();
    if (fds.empty()) return absl::InternalError("the server announced a side socket, and passed no descriptor");
    if (absl::Status checked = SideSocket::Check(fds.back()); !checked.ok()) return checked;
    side_socket_ = std::make_unique<SideSocket>(std::move(fds.back()), /*trusts_peer=*/true);
    fds.pop_back();
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Transport>> Attach(const ServerHello& hello, std::vector<base::Fd>& fds,
                                                    const ucred& server) const {
    const auto row = std::find_if(params_.transports.begin(), params_.transports.end(),
                                  [&](const TransportRow& candidate) { return candidate.bit == hello.transport_bit; });
    if (row == params_.transports.end() || (WantedTransports() & uint32_t{1} << row->bit) == 0) {
      return absl::InternalError(
          absl::StrCat("the server chose transport number ", hello.transport_bit, ", which was not asked for"));
    }
    return row->attach(std::move(fds), hello.geometry, {.pid = server.pid, .uid = server.uid, .gid = server.gid});
  }

  Connection Finish(const ServerHello& hello, std::unique_ptr<Transport> transport, const ucred& server) {
    Connection connection{
        .transport = std::move(transport),
        .peer_pidfd = child_ == nullptr ? OpenPeerPidfd(socket_, server.pid) : std::move(child_pidfd_),
        .peer = {.pid = server.pid, .uid = server.uid, .gid = server.gid},
        .local_id = hello.connection_id,
        .peer_id = hello.server_id,
        .peer_terms = hello.terms,
        .peer_wants_method_names = (hello.features & kMethodNames) != 0};
    connection.control = std::move(socket_);
    connection.side_socket = std::move(side_socket_);
    connection.child = std::move(child_);
    return connection;
  }

  base::Fd socket_;
  std::shared_ptr<Child> child_;
  base::Fd child_pidfd_;  // its own: another part of the same reactor watches the child
  const Address& address_;
  const ConnectParams& params_;
  AnswerWait wait_;
  std::unique_ptr<SideSocket> side_socket_;
  bool hung_up_ = false;
  base::SteadyNs fate_until_ = 0;  // a child that has hung up is waited for; 0: not yet
};

absl::Status At(const Address& address, const absl::Status& failure) {
  return absl::Status(failure.code(), absl::StrCat(address.text, ": ", failure.message()));
}

class DialImpl final : public Dial {
 public:
  DialImpl(Address address, ConnectParams params, Blocking blocking)
      : address_(std::move(address)), params_(std::move(params)), blocking_(blocking), pause_until_(params_.start_at) {}

  std::optional<absl::StatusOr<Connection>> Step() override {
    if (!handshake_ && base::NowNs() < pause_until_) return std::nullopt;
    std::optional<absl::StatusOr<Connection>> outcome = handshake_ ? handshake_->Step() : Begin();
    if (!outcome || outcome->ok()) return outcome;
    if (PausesBeforeAnother(outcome->status())) return std::nullopt;
    // That the last attempt had no time any more is not what is wrong.
    const bool was_cut_short = absl::IsDeadlineExceeded(outcome->status()) && !hang_up_.ok();
    return At(address_, was_cut_short ? hang_up_ : outcome->status());
  }

  DialFds fds() const override { return handshake_ ? handshake_->fds() : DialFds{-1, -1}; }
  base::SteadyNs when() const override { return handshake_ ? handshake_->when() : pause_until_; }

 private:
  std::optional<absl::StatusOr<Connection>> Begin() {
    if (address_.kind == Address::Kind::kExec) return BeginWithChild();
    const bool may_wait = blocking_ == Blocking::kMayWaitForBacklog;
    auto socket = ConnectSocket(address_, may_wait ? params_.deadline : kDoNotWait);
    backlog_full_ = !may_wait && absl::IsDeadlineExceeded(socket.status());
    if (!socket.ok()) return socket.status();
    handshake_.emplace(*std::move(socket), nullptr, address_, params_);
    if (absl::Status begun = handshake_->Begin(); !begun.ok()) return begun;
    return handshake_->Step();
  }

  std::optional<absl::StatusOr<Connection>> BeginWithChild() {
    auto server = params_.start_server();
    if (!server.ok()) return server.status();
    handshake_.emplace(std::move(server->socket), std::move(server->child), address_, params_);
    // What keeps the hello from it is told by the first step: it may have ended.
    if (absl::Status begun = handshake_->Begin(); !begun.ok() && !absl::IsUnavailable(begun)) return begun;
    return handshake_->Step();
  }

  // The server has hung up without an answer, and may have a place for us in a moment; or it has not even had one in
  // its backlog.
  bool PausesBeforeAnother(const absl::Status& failure) {
    const bool busy = backlog_full_ || (handshake_ && handshake_->hung_up());
    const base::SteadyNs next = base::AddNs(base::NowNs(), backoff_.NextNs());
    const bool only_once = address_.kind == Address::Kind::kFd || address_.kind == Address::Kind::kExec;
    if (!busy || only_once || next >= params_.deadline) return false;
    if (!backlog_full_) hang_up_ = failure;
    handshake_.reset();
    pause_until_ = next;
    return true;
  }

  const Address address_;
  const ConnectParams params_;
  const Blocking blocking_;
  base::Backoff backoff_{base::kBusyPauseMinNs, base::kBusyPauseMaxNs};
  base::SteadyNs pause_until_ = 0;
  bool backlog_full_ = false;
  absl::Status hang_up_;                      // the last one
  std::optional<ClientHandshake> handshake_;  // uses the others
};

// Until one of the descriptors is readable, or it is time.
absl::Status WaitFor(const Dial& dial, base::SteadyNs until) {
  const DialFds fds = dial.fds();
  const base::SteadyNs when = std::min(dial.when(), until);
  std::array<pollfd, 2> items{
      {{.fd = fds[0], .events = POLLIN, .revents = 0}, {.fd = fds[1], .events = POLLIN, .revents = 0}}};
  const timespec left = base::ToTimespec(std::max<int64_t>(when - base::NowNs(), 0));
  const int ready = ::ppoll(items.data(), items.size(), when == base::kNever ? nullptr : &left, nullptr);
  return ready < 0 && errno != EINTR ? base::ErrnoStatus("poll") : absl::OkStatus();
}

}  // namespace

std::unique_ptr<Dial> Dial::Start(Address address, ConnectParams params, Blocking blocking) {
  const TransportRow* const row = FindTransport(address.transport);
  if (row != nullptr && !row->MeetsAtSocket()) return row->dial(std::move(address), std::move(params));
  return std::make_unique<DialImpl>(std::move(address), std::move(params), blocking);
}

std::optional<absl::StatusOr<Connection>> Dial::FinishBefore(base::SteadyNs until) {
  for (;;) {
    std::optional<absl::StatusOr<Connection>> outcome = Step();
    if (outcome) return outcome;
    if (base::NowNs() >= until) return std::nullopt;
    if (absl::Status waited = WaitFor(*this, until); !waited.ok()) return waited;
  }
}

absl::StatusOr<Connection> Dial::Finish(base::SteadyNs until) {
  std::optional<absl::StatusOr<Connection>> outcome = FinishBefore(until);
  return outcome ? *std::move(outcome) : NoAnswer();
}

absl::StatusOr<Connection> Connect(const Address& address, const ConnectParams& params) {
  return Dial::Start(address, params, Dial::Blocking::kMayWaitForBacklog)->Finish();
}

}  // namespace nearcall::transport
