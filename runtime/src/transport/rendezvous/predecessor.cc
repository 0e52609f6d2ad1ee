// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/predecessor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/closer.h"
#include "base/limits.h"
#include "base/poll.h"
#include "base/syscall.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"
#include "transport/rendezvous/name_watch.h"
#include "transport/rendezvous/passed_fds.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

// Looked at, not taken.
absl::StatusOr<HelloMessage> AwaitMessage(const base::Fd& socket, base::SteadyNs deadline) {
  if (!base::IsReadable(socket.get(), deadline)) {
    return absl::UnavailableError("the server that has the name does not answer; is it stopped?");
  }
  auto message = ReceiveHello(socket, Taking::kLook);
  if (!message.ok()) return message.status();
  if (!message->has_value()) return absl::UnavailableError("the server that has the name said nothing");
  return **std::move(message);
}

absl::StatusOr<base::Fd> ConnectTo(const Place& place) {
  struct stat status;
  const int found = ::fstatat(place.directory.fd(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW);
  if (found == 0 && !S_ISSOCK(status.st_mode)) return absl::FailedPreconditionError("it is no socket");
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return base::ErrnoStatus("create a socket");
  if (absl::Status prepared = PrepareToIdentify(socket, /*accept_fds=*/true); !prepared.ok()) return prepared;
  const int error = place.directory.Connect(socket, place.name);
  if (error == 0) return socket;
  const std::string what = absl::StrCat("connect to ", place.directory.PathOf(place.name));
  // It has gone, or it has too much to do.
  if (error == ENOENT || error == ECONNREFUSED || error == EAGAIN) {
    return absl::UnavailableError(base::ErrnoStatus(error, what).message());
  }
  return base::ErrnoStatus(error, what);
}

bool IsGoAway(std::span<const std::byte> bytes) {
  ControlBytes control;
  if (bytes.size() != control.size()) return false;
  std::copy(bytes.begin(), bytes.end(), control.begin());
  const std::optional<ControlMessage> message = DecodeControl(control);
  return message && message->kind == ControlMessage::Kind::kGoAway;
}

// What clients will be accepted from.
absl::Status CheckSocket(const base::Fd& socket) {
  if (!IsSeqpacketSocket(socket.get()) || !IsListening(socket.get())) {
    return absl::InternalError("what the server passed is not a listening Unix-domain SOCK_SEQPACKET socket");
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return base::ErrnoStatus("fcntl on the socket that is taken over");
  }
  return PrepareToIdentify(socket, /*accept_fds=*/false);
}

}  // namespace

Predecessor::~Predecessor() {
  CloseSocket(std::move(control_));
  // Not by CloseListener: it is the other one's, too.
  if (socket_.fd.valid()) base::CloseElsewhere(std::move(socket_.fd));
}

absl::StatusOr<std::unique_ptr<Predecessor>> Predecessor::Ask(const Place& place, base::SteadyNs deadline) {
  auto control = ConnectTo(place);
  if (!control.ok()) return control.status();
  std::unique_ptr<Predecessor> predecessor(new Predecessor);
  predecessor->control_ = *std::move(control);
  const ClientHello hello{.transports = uint32_t{1} << kListenerBit};
  if (absl::Status sent = SendHello(predecessor->control_, Encode(hello)); !sent.ok()) return sent;
  const auto message = AwaitMessage(predecessor->control_, deadline);
  if (!message.ok()) return message.status();
  // Who it is comes first, and what somebody else passes is not taken. Root, too, is somebody else: what it serves is
  // not this user's.
  const uid_t uid = message->sender ? message->sender->uid : static_cast<uid_t>(-1);
  if (uid != ::geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the server runs as uid ", uid, ", and a socket is taken over from the same user only"));
  }
  predecessor->pidfd_ = OpenPeerPidfd(predecessor->control_, message->sender->pid);
  const auto answer = DecodeServerHello(message->bytes);
  if (!answer.ok()) return answer.status();
  if (!answer->status.ok()) return answer->status;
  if (answer->transport_bit != kListenerBit || answer->fd_count != 1) {
    return absl::InternalError("the server answered with something else than its listening socket");
  }
  predecessor->socket_.id = {.device = answer->geometry[0], .inode = answer->geometry[1]};
  if (absl::Status taken = predecessor->TakeOffered(place); !taken.ok()) return taken;
  return predecessor;
}

absl::Status Predecessor::TakeOffered(const Place& place) {
  auto message = ReceiveHello(control_, Taking::kTake);
  if (!message.ok()) return message.status();
  if (!message->has_value()) return absl::InternalError("the server's answer has gone");
  std::vector<base::Fd> fds = std::move((*message)->fds);
  if ((*message)->lost_fds || fds.size() != 1) {
    Discard(fds);
    if ((*message)->lost_fds) return base::ErrnoStatus(EMFILE, "receive the listening socket");
    return absl::InternalError(absl::StrCat("the server announced its listening socket and passed ", fds.size()));
  }
  socket_.fd = std::move(fds.front());
  if (absl::Status fit = CheckSocket(socket_.fd); !fit.ok()) return fit;
  // The watch first: nothing that happens to the name is missed.
  socket_.watch = WatchFile(place.directory.PathOf(place.name));
  if (FileIdOf(place.directory, place.name) == socket_.id) return absl::OkStatus();
  return absl::UnavailableError("the name has become another server's meanwhile");
}

absl::Status Predecessor::Succeed(const base::Fd& listening, base::SteadyNs deadline) {
  // Clients are told that they talk to whoever has called this last (SO_PEERPIDFD of unix(7)).
  if (::listen(listening.get(), base::kListenBacklog) != 0) return base::ErrnoStatus("listen on a socket taken over");
  const absl::Status sent = SendHello(control_, EncodeAck(absl::StatusCode::kOk));
  const auto message = AwaitMessage(control_, deadline);
  if (message.ok() && IsGoAway(message->bytes)) return absl::OkStatus();
  // Its last descriptor is closed a moment before it counts as dead.
  if (pidfd_.valid() && base::IsReadable(pidfd_.get(), base::AddNs(base::NowNs(), base::kHeirAnswerNs))) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      "the server that has the name has not given it up: ",
      sent.ok() ? (message.ok() ? "it said something else" : message.status().message()) : sent.message()));
}

}  // namespace nearcall::transport
