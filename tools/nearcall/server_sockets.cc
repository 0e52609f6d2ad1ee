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
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

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

constexpr absl::string_view kFifo = "fifo:";
constexpr absl::string_view kToServer = ".c2s";  // see runtime/PROTOCOL.md, "`fifo`"

std::vector<ServerSocket> SocketsIn(const std::string& directory) {
  std::vector<ServerSocket> sockets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string file = entry.path().filename();
    if (file[0] == '.') continue;
    absl::string_view name = file;
    if (entry.is_socket(error)) {
      sockets.push_back({.address = file, .path = absl::StrCat(directory, "/", file)});
    } else if (entry.is_fifo(error) && absl::ConsumeSuffix(&name, kToServer)) {
      sockets.push_back(
          {.address = absl::StrCat(kFifo, name), .path = absl::StrCat(kFifo, directory, "/", name), .has_fifos = true});
    }
  }
  std::sort(sockets.begin(), sockets.end(), [](const auto& one, const auto& other) { return one.path < other.path; });
  return sockets;
}

SocketOwner OwnerOfFifos(absl::string_view address) {
  const std::string path = absl::StrCat(absl::StripPrefix(address, kFifo), kToServer);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {.why_not = std::strerror(errno)};
  return {.user = UserName(status.st_uid)};
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
    for (ServerSocket& socket : SocketsIn(directory)) {
      if (!seen.insert(socket.address).second) socket.address = socket.path;
      sockets.push_back(std::move(socket));
    }
  }
  return sockets;
}

SocketOwner OwnerOf(const ServerSocket& socket) {
  if (socket.has_fifos) return OwnerOfFifos(socket.path);
  const std::string& path = socket.path;
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
