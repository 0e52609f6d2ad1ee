#include "transport/rendezvous/socket_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::transport {

absl::StatusOr<NameState> ProbeName(const Directory& directory, const std::string& name) {
  struct stat status;
  if (::fstatat(directory.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? NameState::kAbsent : NameState::kForeign;
  }
  // connect(2) would follow a symbolic link, and refuses a plain file as it refuses a dead socket.
  if (!S_ISSOCK(status.st_mode)) return NameState::kForeign;
  const base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus("create a socket");
  const sockaddr_un address = directory.AddressOf(name);
  const int result =
      base::Retry([&] { return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)); });
  if (result == 0 || errno == EAGAIN) return NameState::kLive;  // EAGAIN: its backlog is full
  if (errno == ECONNREFUSED) return NameState::kDead;
  return errno == ENOENT ? NameState::kAbsent : NameState::kForeign;
}

void SweepDeadNames(const Directory& directory) {
  const int fd = ::openat(directory.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  DIR* const entries = ::fdopendir(fd);
  if (entries == nullptr) {
    ::close(fd);
    return;
  }
  int probed = 0;
  while (const dirent* entry = ::readdir(entries)) {
    if (entry->d_type != DT_SOCK && entry->d_type != DT_UNKNOWN) continue;
    if (std::strlen(entry->d_name) > kMaxFileNameSize) continue;  // none of ours
    if (++probed > base::kMaxNamesProbed) break;
    const auto state = ProbeName(directory, entry->d_name);
    if (state.ok() && *state == NameState::kDead) ::unlinkat(directory.fd(), entry->d_name, 0);
  }
  ::closedir(entries);
}

}  // namespace nearcall::transport
