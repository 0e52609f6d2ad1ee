// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <ctime>
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
#include "transport/rendezvous/peer_socket.h"

namespace nearcall::transport {

namespace {

absl::Status NoAnswer() {
  return absl::DeadlineExceededError(
      "the server took the connection but did not answer the hello in time; is it stopped?");
}

absl::Status NoHeirAnswers() {
  return absl::UnavailableError(
      "no server listens: the process that did is dead, and nobody answers on the socket that it left, which another "
      "process, a child of it perhaps, still holds open; start the server");
}

// The server's answer: when it must be here, which depends on whether the process that listens lives.
class AnswerWait {
 public:
  AnswerWait(const base::Fd& socket, bool has_listener, base::SteadyNs deadline)
      : socket_(socket), deadline_(deadline) {
    if (!has_listener) return;
    listener_.emplace(socket);
    if (listener_->IsDead()) OnListenerDead();
  }

  // Until something can be read, or it is too late.
  absl::Status Wait() {
    for (;;) {
      const base::SteadyNs now = base::NowNs();
      if (now >= deadline_) return is_orphan_ ? NoHeirAnswers() : NoAnswer();
      std::array<pollfd, 2> items{{{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = ListenerFd(), .events = POLLIN, .revents = 0}}};
      const timespec left = base::ToTimespec(deadline_ - now);
      const int ready = ::ppoll(items.data(), items.size(), deadline_ == base::kNever ? nullptr : &left, nullptr);
      if (ready < 0 && errno != EINTR) return base::ErrnoStatus("poll");
      if (ready > 0 && items[0].revents != 0) return absl::OkStatus();
      if (ready > 0) OnListenerDead();
    }
  }

 private:
  // poll(2) passes over a negative one.
  int ListenerFd() const { return listener_ && !is_orphan_ ? listener_->fd() : -1; }

  void OnListenerDead() {
    is_orphan_ = true;
    deadline_ = std::min(deadline_, base::AddNs(base::NowNs(), base::kHeirAnswerNs));
  }

  const base::Fd& socket_;
  base::SteadyNs deadline_;
  std::optional<ListeningProcess> listener_;
  bool is_orphan_ = false;
};

// One handshake, the client's half. Lives on the stack of Connect().
class ClientHandshake {
 public:
  ClientHandshake(base::Fd socket, const Address& address, const ConnectParams& params)
      : socket_(std::move(socket)), address_(address), params_(params) {}

  ~ClientHandshake() { CloseSocket(std::move(socket_)); }

  // The server hung up instead of saying anything: there were too many who had not said hello yet, or it is going away.
  bool hung_up() const { return hung_up_; }

  absl::StatusOr<Connection> Run() {
    if (absl::Status sent = SendOwnHello(); !sent.ok()) return sent;
    auto message = AwaitAnswer();
    if (!message.ok()) return message.status();
    // Who it is comes first: what somebody else says does not matter, and what he passes is not taken.
    if (absl::Status trust = CheckSender(*message); !trust.ok()) return trust;
    const auto hello = DecodeServerHello(message->bytes);
    if (!hello.ok()) return hello.status();
    if (!hello->status.ok()) return hello->status;
    auto fds = TakeFds(*hello, *message);
    if (!fds.ok()) return fds.status();
    auto transport = Attach(*hello, *fds);
    if (!transport.ok()) Discard(*std::move(fds));
    absl::Status acked = SendHello(socket_, EncodeAck(transport.status().code()));
    if (!transport.ok()) return transport.status();
    if (!acked.ok()) return acked;
    return Finish(*hello, *std::move(transport), *message->sender);
  }

 private:
  uint32_t WantedTransports() const {
    uint32_t wanted = 0;
    for (const TransportRow& row : params_.transports) {
      if (address_.transport.empty() || address_.transport == row.name) wanted |= uint32_t{1} << row.bit;
    }
    return wanted;
  }

  absl::Status SendOwnHello() {
    if (absl::Status prepared = PrepareToIdentify(socket_, /*accept_fds=*/true); !prepared.ok()) return prepared;
    absl::Status sent =
        SendHello(socket_, Encode(ClientHello{.transports = WantedTransports(), .terms = params_.terms}));
    hung_up_ = absl::IsUnavailable(sent);
    return sent;
  }

  // Taken, unless it brings descriptors.
  absl::StatusOr<HelloMessage> AwaitAnswer() {
    // Whoever made an inherited pair of sockets need not be there any more.
    AnswerWait wait(socket_, address_.kind != Address::Kind::kFd, params_.deadline);
    for (;;) {
      auto message = ReceiveHello(socket_, Taking::kLook);
      if (message.ok() && message->has_value() && !(*message)->brings_fds)
        message = ReceiveHello(socket_, Taking::kTake);
      hung_up_ = absl::IsUnavailable(message.status());
      if (!message.ok()) return message.status();
      if (message->has_value()) return **std::move(message);
      if (absl::Status ready = wait.Wait(); !ready.ok()) return ready;
    }
  }

  absl::Status CheckSender(const HelloMessage& message) const {
    const uid_t uid = message.sender ? message.sender->uid : static_cast<uid_t>(-1);
    if (IsTrusted(uid, params_.allowed_uids)) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("the server runs as uid ", uid, ", trusted are ",
                                                    DescribeTrusted(params_.allowed_uids),
                                                    "; add it to ChannelOptions::allowed_uids if it is the right one"));
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
    Discard(std::move(taken.fds));
    return checked;
  }

  absl::StatusOr<std::unique_ptr<Transport>> Attach(const ServerHello& hello, std::vector<base::Fd>& fds) const {
    const auto row = std::find_if(params_.transports.begin(), params_.transports.end(),
                                  [&](const TransportRow& candidate) { return candidate.bit == hello.transport_bit; });
    if (row == params_.transports.end() || (WantedTransports() & uint32_t{1} << row->bit) == 0) {
      return absl::InternalError(
          absl::StrCat("the server chose transport number ", hello.transport_bit, ", which was not asked for"));
    }
    return row->attach(std::move(fds), hello.geometry);
  }

  Connection Finish(const ServerHello& hello, std::unique_ptr<Transport> transport, const ucred& server) {
    Connection connection{.transport = std::move(transport),
                          .peer_pidfd = OpenPeerPidfd(socket_, server.pid),
                          .peer = {.pid = server.pid, .uid = server.uid, .gid = server.gid},
                          .local_id = hello.connection_id,
                          .peer_id = hello.server_id,
                          .peer_terms = hello.terms};
    connection.control = std::move(socket_);
    return connection;
  }

  base::Fd socket_;
  const Address& address_;
  const ConnectParams& params_;
  bool hung_up_ = false;
};

// `again`: the server has hung up without an answer, and may have a place for us in a moment.
absl::StatusOr<Connection> TryToConnect(const Address& address, const ConnectParams& params, bool& again) {
  again = false;
  auto socket = ConnectSocket(address, params.deadline);
  if (!socket.ok()) return socket.status();
  ClientHandshake handshake(*std::move(socket), address, params);
  auto connection = handshake.Run();
  again = handshake.hung_up() && address.kind != Address::Kind::kFd;
  return connection;
}

absl::StatusOr<Connection> ConnectUntilDeadline(const Address& address, const ConnectParams& params) {
  base::Backoff backoff(base::kBusyPauseMinNs, base::kBusyPauseMaxNs);
  for (;;) {
    bool again;
    auto connection = TryToConnect(address, params, again);
    const base::SteadyNs next = base::AddNs(base::NowNs(), backoff.NextNs());
    if (!again || next >= params.deadline) return connection;
    base::SleepUntil(next);
  }
}

}  // namespace

absl::StatusOr<Connection> Connect(const Address& address, const ConnectParams& params) {
  absl::StatusOr<Connection> connection = ConnectUntilDeadline(address, params);
  if (connection.ok()) return connection;
  return absl::Status(connection.status().code(), absl::StrCat(address.text, ": ", connection.status().message()));
}

}  // namespace nearcall::transport
