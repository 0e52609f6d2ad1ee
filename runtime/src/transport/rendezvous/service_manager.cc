// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "transport/rendezvous/socket_kind.h"

namespace nearcall::transport {

namespace {

// SD_LISTEN_FDS_START.
constexpr int kFirstSocket = 3;
// More than any unit has; what says so is not systemd.
constexpr int kMaxSockets = 1000;
// What systemd calls a socket without a name, if it is not known of which unit it is.
constexpr char kUnnamed[] = "unknown";

struct Passed {
  int fd;
  std::string name;
};

std::string Environment(const char* variable) {
  const char* const value = ::secure_getenv(variable);
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::vector<Passed>> PassedToThisProcess(absl::string_view text) {
  const std::string count_text = Environment("LISTEN_FDS");
  const std::string pid_text = Environment("LISTEN_PID");
  if (count_text.empty() || pid_text.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(text,
                     ": no socket was passed to this process ($LISTEN_FDS or $LISTEN_PID is not set): let a "
                     ".socket unit start it, or try: systemd-socket-activate --seqpacket --listen=PATH PROGRAM"));
  }
  int64_t pid = 0;
  if (!absl::SimpleAtoi(pid_text, &pid) || pid != ::getpid()) {
    return absl::FailedPreconditionError(absl::StrCat(text, ": the sockets are for process $LISTEN_PID, \"", pid_text,
                                                      "\", and this one is ", ::getpid(),
                                                      ": a process takes them before it starts others"));
  }
  int count = 0;
  if (!absl::SimpleAtoi(count_text, &count) || count < 0 || count > kMaxSockets) {
    return absl::FailedPreconditionError(
        absl::StrCat(text, ": $LISTEN_FDS is \"", count_text, "\", which is no number of sockets"));
  }
  const std::string all_names = Environment("LISTEN_FDNAMES");
  std::vector<std::string> names;
  if (!all_names.empty()) names = absl::StrSplit(all_names, ':');
  names.resize(static_cast<size_t>(count), kUnnamed);
  std::vector<Passed> passed;
  for (int i = 0; i < count; ++i) passed.push_back({kFirstSocket + i, names[static_cast<size_t>(i)]});
  return passed;
}

absl::Status MayBeTaken(const Passed& socket, absl::string_view text) {
  const int flags = ::fcntl(socket.fd, F_GETFD);
  if (flags >= 0 && (flags & FD_CLOEXEC) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(text, ": the socket \"", socket.name, "\" (fd:", socket.fd, ") has been taken already"));
  }
  if (IsSeqpacketSocket(socket.fd) && IsListening(socket.fd)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(text, ": \"", socket.name, "\" (fd:", socket.fd,
                                                 ") is no listening SOCK_SEQPACKET socket: its .socket unit has to say "
                                                 "ListenSequentialPacket=/path"));
}

}  // namespace

absl::StatusOr<std::vector<base::Fd>> TakeActivatedSockets(const std::string& name, absl::string_view text) {
  absl::StatusOr<std::vector<Passed>> passed = PassedToThisProcess(text);
  if (!passed.ok()) return passed.status();
  std::vector<Passed> wanted;
  for (const Passed& socket : *passed) {
    if (name.empty() || socket.name == name) wanted.push_back(socket);
  }
  if (wanted.empty()) {
    const auto name_of = [](std::string* out, const Passed& socket) { absl::StrAppend(out, socket.name); };
    return absl::NotFoundError(absl::StrCat(
        text, ": no such socket was passed to this process, but these: ", absl::StrJoin(*passed, ", ", name_of),
        "; FileDescriptorName= of a .socket unit gives one its name"));
  }
  for (const Passed& socket : wanted) {
    if (absl::Status may = MayBeTaken(socket, text); !may.ok()) return may;
  }
  std::vector<base::Fd> sockets;
  for (const Passed& socket : wanted) {
    ::fcntl(socket.fd, F_SETFD, FD_CLOEXEC);
    sockets.emplace_back(socket.fd);
  }
  return sockets;
}

// A path, or a name of the abstract namespace behind '@'. Who does not listen has asked in vain.
void TellServiceManager(absl::string_view state) {
  std::string path = Environment("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) return;
  if (path[0] == '@') path[0] = '\0';
  std::memcpy(address.sun_path, path.data(), path.size());
  const base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  static_cast<void>(::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size));
}

}  // namespace nearcall::transport
