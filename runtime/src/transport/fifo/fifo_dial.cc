// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/limits.h"
#include "transport/fd_sleeper.h"
#include "transport/fifo/fifo_control.h"
#include "transport/fifo/fifo_rendezvous.h"
#include "transport/fifo/fifo_transport.h"
#include "transport/fifo/hello_record.h"
#include "transport/fifo/line.h"
#include "transport/fifo/named_fifos.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/look_for_name.h"

namespace nearcall::transport::fifo {

namespace {

using Opened = absl::StatusOr<std::optional<Fifos>>;

Opened OpenPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  const absl::StatusOr<Directory> directory = Directory::OpenAny(slash == 0 ? "/" : path.substr(0, slash));
  if (absl::IsNotFound(directory.status())) return absl::UnavailableError(directory.status().message());
  if (!directory.ok()) return directory.status();
  Opened opened = OpenFifos(*directory, path.substr(slash + 1));
  if (!absl::IsUnavailable(opened.status())) return opened;
  return absl::UnavailableError(absl::StrCat("no server listens: ", opened.status().message(), "; start it"));
}

// Looks into one directory after the other.
Opened OpenName(const std::string& name) {
  return LookForName<std::optional<Fifos>>(
      [&](const Directory& directory, bool /*alone*/) { return OpenFifos(directory, name); });
}

// One server after the other, if that is what it takes: who has the FIFOs may be gone before it answers.
class FifoDial final : public Dial {
 public:
  FifoDial(Address address, ConnectParams params) : address_(std::move(address)), params_(std::move(params)) {}

  std::optional<absl::StatusOr<Connection>> Step() override {
    if (!pair_ && base::NowNs() < pause_until_) return std::nullopt;
    std::optional<absl::StatusOr<Connection>> outcome = pair_ ? AwaitAnswer() : Begin();
    if (!outcome || outcome->ok()) return outcome;
    return absl::Status(outcome->status().code(), absl::StrCat(address_.text, ": ", outcome->status().message()));
  }

  DialFds fds() const override { return {pair_ ? pair_->incoming.get() : -1, -1}; }
  base::SteadyNs when() const override { return pair_ ? params_.deadline : pause_until_; }

 private:
  using Outcome = std::optional<absl::StatusOr<Connection>>;

  Outcome Begin() {
    if (!IsTrusted(::geteuid(), params_.allowed_uids)) {
      return absl::PermissionDeniedError(absl::StrCat("over fifo: a client has servers of its own user only, uid ",
                                                      ::geteuid(),
                                                      ", which ChannelOptions::allowed_uids does not list"));
    }
    if (address_.kind != Address::Kind::kPath && address_.kind != Address::Kind::kName) {
      return absl::FailedPreconditionError(
          "FIFOs have a name or a path, and no socket carries their transport; is NEARCALL_TRANSPORT set to fifo?");
    }
    if (!address_.directory.empty()) return absl::UnavailableError("no server behind a shared name has FIFOs");
    Opened opened = address_.kind == Address::Kind::kPath ? OpenPath(address_.name) : OpenName(address_.name);
    if (!opened.ok()) return opened.status();
    if (!opened->has_value()) {
      return PauseOr(absl::DeadlineExceededError(
          "another client is shaking hands with the server, which takes them one by one and does not get on; is it "
          "stopped?"));
    }
    pair_ = **std::move(opened);
    reader_ = {};
    if (absl::Status sent = SayHello(); !sent.ok()) return sent;
    return AwaitAnswer();
  }

  absl::Status SayHello() const {
    return WriteHello(pair_->outgoing,
                      Encode(ClientHello{.transports = uint32_t{1} << Row().bit, .terms = params_.terms}));
  }

  static const TransportRow& Row() { return *FindTransport("fifo"); }

  Outcome AwaitAnswer() {
    const auto message = reader_.Next(pair_->incoming);
    if (absl::IsUnavailable(message.status())) {
      pair_.reset();
      return PauseOr(absl::UnavailableError("the server has gone in the handshake, or does not take us"));
    }
    if (!message.ok()) return message.status();
    if (message->has_value()) return OnAnswer(**message);
    if (base::NowNs() < params_.deadline) return std::nullopt;
    return absl::DeadlineExceededError("the server has not answered the hello in time; is it stopped?");
  }

  // nullopt: to be tried again, after a pause.
  Outcome PauseOr(absl::Status failure) {
    const base::SteadyNs next = base::AddNs(base::NowNs(), backoff_.NextNs());
    if (next >= params_.deadline) return failure;
    pause_until_ = next;
    return std::nullopt;
  }

  absl::StatusOr<Connection> OnAnswer(const std::vector<std::byte>& bytes) {
    const absl::StatusOr<ServerHello> hello = DecodeServerHello(bytes);
    if (!hello.ok()) return hello.status();
    if (!hello->status.ok()) return hello->status;
    if (hello->transport_bit != Row().bit || hello->fd_count != 0) {
      return absl::InternalError(absl::StrCat("the server broke the protocol: it chose transport number ",
                                              hello->transport_bit, " with ", hello->fd_count,
                                              " descriptors, expected ", Row().bit, " and none"));
    }
    absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
    if (!sleeper.ok()) return sleeper.status();
    absl::Status acked = WriteHello(pair_->outgoing, EncodeAck(absl::StatusCode::kOk));
    if (!acked.ok()) return acked;
    absl::StatusOr<std::shared_ptr<Line>> line = Line::Create(*std::exchange(pair_, std::nullopt));
    if (!line.ok()) return line.status();
    Connection connection;
    connection.peer = {.pid = 0, .uid = ::geteuid(), .gid = static_cast<gid_t>(-1)};
    connection.local_id = hello->connection_id;
    connection.peer_id = hello->server_id;
    connection.peer_terms = hello->terms;
    connection.peer_wants_method_names = (hello->features & kMethodNames) != 0;
    connection.in_band = std::make_unique<FifoControl>(*line);
    connection.transport = std::make_unique<FifoTransport>(*std::move(line), *std::move(sleeper));
    return connection;
  }

  const Address address_;
  const ConnectParams params_;
  base::Backoff backoff_{base::kReconnectMinNs, base::kBusyPauseMaxNs};
  base::SteadyNs pause_until_ = 0;
  std::optional<Fifos> pair_;  // and the server has been said hello to
  HelloReader reader_;
};

}  // namespace

std::unique_ptr<Dial> DialFifo(Address address, ConnectParams params) {
  return std::make_unique<FifoDial>(std::move(address), std::move(params));
}

}  // namespace nearcall::transport::fifo
