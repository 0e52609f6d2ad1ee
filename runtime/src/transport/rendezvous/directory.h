// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace nearcall::transport {

// A directory with servers' sockets in it. It was opened once (O_PATH) and is only used through that descriptor, so
// that nobody can put another one in its place between the check and the use. Immutable.
class Directory {
 public:
  enum class IfMissing { kFail, kCreate };

  // One that only its owner can write: PERMISSION_DENIED if it belongs to somebody other than this user and root, if
  // group or others may write, or if it is a symbolic link. NOT_FOUND if it is missing and not to be (or cannot be)
  // created.
  static absl::StatusOr<Directory> OpenPrivate(absl::string_view path, IfMissing if_missing);

  // The directory of a socket whose path the user gave: the administrator's, with any owner and mode.
  static absl::StatusOr<Directory> OpenAny(absl::string_view path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  std::string PathOf(absl::string_view name) const;

  // What is in it now, hidden names too, until `take` says false. It may be removed meanwhile. Nothing if it cannot be
  // read.
  void ForEachEntry(absl::FunctionRef<bool(const dirent& entry)> take) const;

  // bind(2) to, and connect(2) to, the socket `name` in this very directory, whatever stands at its path by now:
  // through /proc, or where there is none on a thread with this working directory. 0 or an errno; ENOSYS: neither can
  // be had.
  int Bind(const base::Fd& socket, absl::string_view name) const;
  int Connect(const base::Fd& socket, absl::string_view name) const;

 private:
  using CallOnAddress = int(int, const sockaddr*, socklen_t);
  int Call(CallOnAddress* call, const base::Fd& socket, absl::string_view name) const;

  Directory(base::Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  base::Fd fd_;
  std::string path_;
};

// What ENOSYS of Directory::Bind and Connect means, for people.
inline constexpr absl::string_view kNoWayWithoutProc =
    "cannot be reached: /proc is not mounted, and unshare(2), which could do without it, is refused; mount it";

// `path` as a socket's address. At most 107 bytes.
sockaddr_un SocketAddress(absl::string_view path);

// Where a server puts its names: $NEARCALL_DIR, else $XDG_RUNTIME_DIR/nearcall if that directory is this user's own,
// else /run/nearcall for root, else /tmp/nearcall-<uid>.
absl::StatusOr<Directory> OpenServerDirectory(Directory::IfMissing if_missing = Directory::IfMissing::kCreate);

// Whether the user chose it ($NEARCALL_DIR): then other programs may have sockets there, too.
bool DirectoryIsChosen();

// Where a client looks for a name, in this order: $NEARCALL_DIR alone if it is set, else the other three.
absl::StatusOr<std::vector<std::string>> ClientDirectories();

}  // namespace nearcall::transport
