// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/credentials.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "base/poll.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

// Younger than the distribution's headers.
constexpr int kSoPassPidfd = 76;   // Linux 6.5
constexpr int kSoPeerPidfd = 77;   // Linux 6.5
constexpr int kSoPassRights = 83;  // Linux 6.16

// What the kernel shows for a user that has no number in this user namespace (/proc/sys/kernel/overflowuid).
constexpr uid_t kOverflowUid = 65534;
constexpr uid_t kInvalidUid = static_cast<uid_t>(-1);

constexpr size_t kUsualGroups = 32;

template <typename T>
std::optional<T> SocketOption(const base::Fd& socket, int option) {
  T value{};
  socklen_t size = sizeof(value);
  if (::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) != 0 || size != sizeof(value)) return std::nullopt;
  return value;
}

absl::Status SetSocketOption(const base::Fd& socket, int option, int value, absl::string_view name) {
  if (::setsockopt(socket.get(), SOL_SOCKET, option, &value, sizeof(value)) == 0) return absl::OkStatus();
  return base::ErrnoStatus(absl::StrCat("setsockopt ", name));
}

std::vector<uid_t> Effective(const std::vector<uid_t>& allowed) {
  if (!allowed.empty()) return allowed;
  std::vector<uid_t> own{0};
  // Unmapped users all look alike: "the same user" means nothing among them.
  if (::geteuid() != 0 && ::geteuid() != kOverflowUid) own.push_back(::geteuid());
  return own;
}

// An older kernel knows none of these, and then has nothing to be switched off.
void SwitchOff(const base::Fd& socket, int option) {
  SetSocketOption(socket, option, 0, "").IgnoreError();
}

// What whoever we have the socket from may have asked for: with each message a descriptor of its sender, and a label
// before which there is no room for anything else.
void SwitchOffWhatIsNotRead(const base::Fd& socket) {
  SwitchOff(socket, kSoPassPidfd);
  SwitchOff(socket, SO_PASSSEC);
}

}  // namespace

absl::Status PrepareToIdentify(const base::Fd& socket, bool accept_fds) {
  if (!accept_fds) SwitchOff(socket, kSoPassRights);
  SwitchOffWhatIsNotRead(socket);
  return SetSocketOption(socket, SO_PASSCRED, 1, "SO_PASSCRED");
}

void RefuseDescriptors(const base::Fd& socket) {
  SwitchOff(socket, kSoPassRights);
}

void StopIdentifying(const base::Fd& socket) {
  SwitchOff(socket, kSoPassRights);
  SwitchOffWhatIsNotRead(socket);
  SwitchOff(socket, SO_PASSCRED);
}

bool IsTrusted(uid_t uid, const std::vector<uid_t>& allowed) {
  if (uid == kInvalidUid) return false;
  const std::vector<uid_t> uids = Effective(allowed);
  return std::find(uids.begin(), uids.end(), uid) != uids.end();
}

bool IsServed(const PeerIdentity& client, const std::vector<uid_t>& uids, const std::vector<gid_t>& gids) {
  if (IsTrusted(client.uid, uids)) return true;
  const auto has_group = [&client](gid_t gid) {
    return gid == client.gid || std::find(client.groups.begin(), client.groups.end(), gid) != client.groups.end();
  };
  return client.uid != kInvalidUid && std::any_of(gids.begin(), gids.end(), has_group);
}

std::vector<gid_t> GroupsOf(const PeerIdentity& peer, const base::Fd& socket) {
  const std::optional<ucred> made_it = SocketOption<ucred>(socket, SO_PEERCRED);
  if (!made_it || made_it->pid != peer.pid || made_it->uid != peer.uid || made_it->gid != peer.gid) return {};
  std::vector<gid_t> groups(kUsualGroups);
  for (;;) {
    socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int result = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    const size_t count = size / sizeof(gid_t);
    if (result == 0) {
      groups.resize(count);
      groups.shrink_to_fit();
      return groups;
    }
    // Too many for this room: it says how many there are.
    if (errno != ERANGE || count <= groups.size() || count > base::kMaxPeerGroups) return {};
    groups.resize(count);
  }
}

std::string DescribeTrusted(const std::vector<uid_t>& allowed) {
  return absl::StrJoin(Effective(allowed), ", ");
}

base::Fd MakersPidfd(const base::Fd& socket) {
  const std::optional<int> pidfd = SocketOption<int>(socket, kSoPeerPidfd);
  if (!pidfd) return {};
  base::Fd fd(*pidfd);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return fd;
}

base::Fd OpenPeerPidfd(const base::Fd& socket, pid_t pid) {
  if (pid <= 0) return base::Fd();
  // The kernel's own reference to the peer cannot be another process that got its number. But it names whoever called
  // connect, listen or socketpair, which need not be the one that we talk with (a pre-forked worker, an inherited
  // socket).
  const std::optional<ucred> connected = SocketOption<ucred>(socket, SO_PEERCRED);
  if (connected && connected->pid == pid) {
    base::Fd pidfd = MakersPidfd(socket);
    if (pidfd.valid()) return pidfd;
    // Linux before 6.16 has none for a peer that is gone: whoever has its number by now is another process.
    if (errno != ENOPROTOOPT) return base::Fd();
  }
  return base::OpenPidfd(pid);
}

}  // namespace nearcall::transport
