// SPDX-License-Identifier: Apache-2.0
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/fork.h"
#include "base/syscall.h"
#include "transport/control.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/server_offer.h"

namespace nearcall::transport {

namespace {

constexpr uint64_t kKnownFeatures = kSocketBell;  // beside what the server offers

class Handshake final : public ServerHandshake {
 public:
  Handshake(base::Fd socket, ServeParams params) : params_(std::move(params)) {
    error_ = PrepareToIdentify(socket, /*accept_fds=*/false);
    if (!error_.ok()) state_ = State::kFailed;
    connection_.control = std::move(socket);
  }

  ~Handshake() override {
    if (fork_guard_.InChild()) return;
    Withdraw();
    CloseSocket(std::move(connection_.control));
  }

  int fd() const override { return connection_.control.get(); }

  Progress Step() override {
    while (state_ == State::kAwaitHello || state_ == State::kAwaitAck || state_ == State::kAwaitSuccessor) {
      auto message = ReceiveNext();
      if (message.ok() && !message->has_value()) return Progress::kWaiting;
      absl::Status result = message.ok() ? OnMessage(**message) : message.status();
      if (!result.ok()) Fail(std::move(result));
    }
    if (state_ == State::kSucceeded) return Progress::kSucceeded;
    return state_ == State::kFailed ? Progress::kFailed : Progress::kDone;
  }

  uid_t peer_uid() const override { return connection_.peer.uid; }
  pid_t peer_pid() const override { return connection_.peer.pid; }
  bool is_successor() const override { return state_ == State::kAwaitSuccessor || state_ == State::kSucceeded; }

  absl::Status error() const override { return error_; }

  Connection Take() override {
    NEARCALL_CHECK(state_ == State::kDone);
    return std::move(connection_);
  }

 private:
  enum class State { kAwaitHello, kAwaitAck, kAwaitSuccessor, kDone, kSucceeded, kFailed };

  void Fail(absl::Status error) {
    error_ = std::move(error);
    offer_.Reset();
    Withdraw();
    state_ = State::kFailed;
  }

  // Looked at first: one with descriptors stays where it is.
  absl::StatusOr<std::optional<HelloMessage>> ReceiveNext() const {
    auto message = ReceiveHello(connection_.control, Taking::kLook);
    if (!message.ok() || !message->has_value()) return message;
    if ((*message)->brings_fds) return absl::InternalError("the client sent descriptors, which only a server does");
    return ReceiveHello(connection_.control, Taking::kTake);
  }

  absl::Status OnMessage(const HelloMessage& message) {
    switch (state_) {
      case State::kAwaitHello:
        return OnHello(message);
      case State::kAwaitSuccessor:
        return OnSuccessorsAck(message);
      default:
        return OnAck(message);
    }
  }

  absl::Status OnHello(const HelloMessage& message) {
    if (absl::Status identified = Identify(message.sender); !identified.ok()) return Refuse(std::move(identified));
    const auto hello = DecodeClientHello(message.bytes);
    // Only another version is answered; what is no hello at all would not understand.
    if (absl::IsFailedPrecondition(hello.status())) return Refuse(hello.status());
    if (!hello.ok()) return hello.status();
    if (hello->transports == uint32_t{1} << kListenerBit) return OnSuccessorsHello();
    connection_.peer_terms = hello->terms;
    absl::Status prepared = offer_.Make(*hello, connection_.peer);
    if (absl::IsCancelled(prepared)) return prepared;
    return prepared.ok() ? SendOffer(*hello) : Refuse(std::move(prepared));
  }

  // --- of a successor ---

  absl::Status OnSuccessorsHello() {
    std::shared_ptr<Listener> listener = params_.listener.lock();
    if (listener == nullptr) {
      return Refuse(absl::FailedPreconditionError(
          "this server lets no successor take its socket over; set ServerOptions::allow_successor of both"));
    }
    // Users without a number here are alike: none of them is known to be the same.
    if (connection_.peer.uid != ::geteuid() || !IsTrusted(connection_.peer.uid, {})) {
      return Refuse(absl::PermissionDeniedError(
          absl::StrCat("a server's socket is taken over by its own user only, and not by uid ", connection_.peer.uid)));
    }
    const absl::StatusOr<Geometry> offered = listener->Offer();
    if (!offered.ok()) return Refuse(offered.status());
    offered_ = std::move(listener);
    const ServerHello hello{.transport_bit = kListenerBit,
                            .fd_count = 1,
                            .terms = params_.terms,
                            .server_id = params_.server_id,
                            .geometry = *offered};
    const int fd = offered_->fd();
    absl::Status sent = SendHello(connection_.control, Encode(hello), {&fd, 1});
    if (absl::IsResourceExhausted(sent)) return Refuse(std::move(sent));
    if (sent.ok()) state_ = State::kAwaitSuccessor;
    return sent;
  }

  absl::Status OnSuccessorsAck(const HelloMessage& message) {
    if (absl::Status sent = CheckWhoAcknowledges(message.sender); !sent.ok()) return sent;
    const auto code = DecodeAck(message.bytes);
    if (!code.ok()) return code.status();
    if (*code != absl::StatusCode::kOk) return absl::Status(*code, "the successor could not take the socket over");
    std::exchange(offered_, nullptr)->GiveAway();
    // If it has died just now nobody listens: as if it had a moment later.
    SendHello(connection_.control, EncodeControl({.kind = ControlMessage::Kind::kGoAway})).IgnoreError();
    state_ = State::kSucceeded;
    return absl::OkStatus();
  }

  void Withdraw() {
    if (offered_ != nullptr) std::exchange(offered_, nullptr)->WithdrawOffer();
  }

  // --- of a client ---

  absl::Status Identify(const std::optional<ucred>& sender) {
    if (sender) connection_.peer = {.pid = sender->pid, .uid = sender->uid, .gid = sender->gid};
    PeerIdentity& peer = connection_.peer;
    if (sender) peer.groups = GroupsOf(peer, connection_.control);
    if (IsServed(peer, params_.allowed_uids, params_.allowed_gids)) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat(
        "the server does not serve uid ", peer.uid, " of gid ", peer.gid, peer.groups.empty() ? "" : " and groups ",
        SomeOf(peer.groups), "; add it to ServerOptions::allowed_uids, or a group of it to allowed_gids"));
  }

  // For a text that has to be short.
  static std::string SomeOf(const std::vector<gid_t>& groups) {
    constexpr size_t kMost = 8;
    return groups.size() <= kMost ? absl::StrJoin(groups, ", ")
                                  : absl::StrCat(absl::StrJoin(groups.begin(), groups.begin() + kMost, ", "), ", ...");
  }

  uint64_t FeaturesFor(const ClientHello& hello) const {
    return (hello.features & kKnownFeatures) | (params_.wants_method_names ? uint64_t{kMethodNames} : 0) |
           (offer_.has_side_socket() ? uint64_t{kDescriptors} : 0);
  }

  // One that knows no attachments is told of none, as in the versions before them.
  SessionTerms TermsFor(const ClientHello& hello) const {
    SessionTerms terms = params_.terms;
    if (hello.terms.max_attachments == 0) {
      terms.max_attachments = 0;
      terms.max_attachment_bytes = 0;
      terms.takes_lent = 0;
    }
    return terms;
  }

  absl::Status SendOffer(const ClientHello& hello) {
    // Before the answer: a client that acknowledges it is alive by then, and its number still its own.
    connection_.peer_pidfd = OpenPeerPidfd(connection_.control, connection_.peer.pid);
    const std::vector<int> fds = offer_.fds();
    absl::Status sent = SendHello(connection_.control,
                                  Encode(ServerHello{.features = FeaturesFor(hello),
                                                     .transport_bit = offer_.row().bit,
                                                     .fd_count = static_cast<uint8_t>(fds.size()),
                                                     .terms = TermsFor(hello),
                                                     .server_id = params_.server_id,
                                                     .connection_id = params_.connection_id,
                                                     .geometry = offer_.geometry()}),
                                  fds);
    // ETOOMANYREFS, above all: the message without descriptors still gets through.
    if (absl::IsResourceExhausted(sent)) return Refuse(std::move(sent));
    if (sent.ok()) state_ = State::kAwaitAck;
    return sent;
  }

  // Tells the client why; that it may not hear it changes nothing.
  absl::Status Refuse(absl::Status why) {
    SendHello(connection_.control, Encode(ServerHello{.status = why})).IgnoreError();
    return why;
  }

  absl::Status OnAck(const HelloMessage& message) {
    if (absl::Status sent = CheckWhoAcknowledges(message.sender); !sent.ok()) return sent;
    const auto code = DecodeAck(message.bytes);
    if (!code.ok()) return code.status();
    if (*code != absl::StatusCode::kOk) {
      return absl::Status(*code, "the client could not take the transport that it was offered");
    }
    if (absl::Status accepted = offer_.Accept(connection_); !accepted.ok()) return accepted;
    connection_.local_id = params_.server_id;
    connection_.peer_id = params_.connection_id;
    state_ = State::kDone;
    return absl::OkStatus();
  }

  // Who said hello, and nobody else, has taken the offer out of the socket: until then its descriptors are in flight at
  // the expense of this process's user.
  absl::Status CheckWhoAcknowledges(const std::optional<ucred>& sender) const {
    const PeerIdentity& peer = connection_.peer;
    if (!sender || sender->pid != peer.pid || sender->uid != peer.uid) {
      return absl::InternalError(absl::StrCat("the acknowledgement is not from process ", peer.pid, " of uid ",
                                              peer.uid, ", which said hello"));
    }
    int unread = 0;
    if (::ioctl(connection_.control.get(), SIOCOUTQ, &unread) != 0) return base::ErrnoStatus("ioctl SIOCOUTQ");
    if (unread == 0) return absl::OkStatus();
    return absl::InternalError("the client acknowledged an offer that it has not received");
  }

  const base::ForkGuard fork_guard_;
  ServeParams params_;
  State state_ = State::kAwaitHello;
  absl::Status error_;
  Connection connection_;
  ServerOffer offer_{params_};
  std::shared_ptr<Listener> offered_;  // to a successor
};

}  // namespace

std::unique_ptr<ServerHandshake> ServerHandshake::Start(base::Fd socket, ServeParams params) {
  return std::make_unique<Handshake>(std::move(socket), std::move(params));
}

}  // namespace nearcall::transport
