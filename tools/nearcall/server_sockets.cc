// SPDX-License-Identifier: Apache-2.0
#include "server_sockets.h"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace nearcall::tools {

namespace {

bool IsOurs(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

std::vector<std::string> Directories() {
  if (const char* only = ::secure_getenv("NEARCALL_DIR"); only != nullptr && *only != '\0') return {only};
  std::vector<std::string> directories;
  const char* const runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && IsOurs(runtime)) directories.push_back(absl::StrCat(runtime, "/nearcall"));
  directories.emplace_back("/run/nearcall");
  directories.push_back(absl::StrCat("/tmp/nearcall-", ::geteuid()));
  return directories;
}

std::vector<std::string> SocketsIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name[0] != '.' && entry.is_socket(error)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string WhyNot(int error) {
  if (error == ECONNREFUSED) return "dead (the next server sweeps it)";
  if (error == EACCES) return "not for this user";
  if (error == EPROTOTYPE) return "not a server of Nearcall";
  if (error == EAGAIN) return "busy (its backlog is full)";
  return std::strerror(error);
}

}  // namespace

std::string UserName(uid_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return absl::StrCat(uid);
}

std::vector<ServerSocket> FindServerSockets() {
  std::vector<ServerSocket> sockets;
  std::set<std::string> seen;
  for (const std::string& directory : Directories()) {
    for (const std::string& name : SocketsIn(directory)) {
      const std::string path = absl::StrCat(directory, "/", name);
      sockets.push_back({seen.insert(name).second ? name : path, path});
    }
  }
  return sockets;
}

SocketOwner OwnerOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return {.why_not = "its path is too long for a socket"};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return {.why_not = std::strerror(errno)};
  const absl::Cleanup close = [fd] { ::close(fd); };
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return {.why_not = WhyNot(errno)};
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return {.pid = peer.pid, .user = UserName(peer.uid)};
}

}  // namespace nearcall::tools
