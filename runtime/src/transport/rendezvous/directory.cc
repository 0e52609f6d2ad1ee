// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/proc_path.h"
#include "base/syscall.h"
#include "transport/rendezvous/in_directory.h"

namespace nearcall::transport {

namespace {

constexpr mode_t kPrivateMode = 0700;

// A trailing slash would make open(2) follow a symbolic link in spite of O_NOFOLLOW.
std::string WithoutTrailingSlashes(absl::string_view path) {
  while (path.size() > 1 && absl::EndsWith(path, "/")) path.remove_suffix(1);
  return std::string(path);
}

absl::Status CheckPrivate(const struct stat& status, const std::string& path) {
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "directory ", path, " belongs to uid ", status.st_uid, ", neither this user (uid ", ::geteuid(),
        ") nor root: whoever owns it could pose as any server; remove it or choose another with NEARCALL_DIR"));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("directory %s can be written by group or others (mode %04o): they could pose as any server; "
                        "chmod go-w it or choose another with NEARCALL_DIR",
                        path, status.st_mode & 07777));
  }
  return absl::OkStatus();
}

// `create_error`: why it could not be created either; 0 if that was not tried or it existed.
absl::Status OpenError(int error, int create_error, const std::string& path) {
  if (error == ENOENT && create_error != 0 && create_error != ENOENT) {
    return base::ErrnoStatus(create_error, absl::StrCat("create directory ", path));
  }
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat("directory ", path, " does not exist"));
  if (error == ENOTDIR || error == ELOOP) {
    return absl::PermissionDeniedError(
        absl::StrCat("directory ", path, " is not a directory (a symbolic link is not followed); remove it"));
  }
  return base::ErrnoStatus(error, absl::StrCat("open directory ", path));
}

std::optional<std::string> Environment(const char* name) {
  const char* value = ::secure_getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

absl::StatusOr<std::optional<std::string>> ChosenDirectory() {
  std::optional<std::string> chosen = Environment("NEARCALL_DIR");
  if (chosen && !absl::StartsWith(*chosen, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("NEARCALL_DIR is \"", *chosen, "\", but must be an absolute path"));
  }
  return chosen;
}

// After su(1) the variable often names the directory of another user: not ours to use.
std::optional<std::string> RuntimeDirectory() {
  const std::optional<std::string> base = Environment("XDG_RUNTIME_DIR");
  if (!base || !absl::StartsWith(*base, "/")) return std::nullopt;
  struct stat status;
  if (::stat(base->c_str(), &status) != 0 || status.st_uid != ::geteuid()) return std::nullopt;
  return absl::StrCat(WithoutTrailingSlashes(*base), "/nearcall");
}

constexpr absl::string_view kSystemDirectory = "/run/nearcall";

std::string TemporaryDirectory() {
  return absl::StrCat("/tmp/nearcall-", ::geteuid());
}

}  // namespace

absl::StatusOr<Directory> Directory::OpenPrivate(absl::string_view given, IfMissing if_missing) {
  std::string path = WithoutTrailingSlashes(given);
  const bool created = if_missing == IfMissing::kCreate && ::mkdir(path.c_str(), kPrivateMode) == 0;
  const int create_error = if_missing == IfMissing::kCreate && !created ? errno : 0;
  base::Fd fd(base::Retry([&] { return ::open(path.c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return OpenError(errno, create_error, path);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return base::ErrnoStatus(absl::StrCat("fstat directory ", path));
  if (absl::Status check = CheckPrivate(status, path); !check.ok()) return check;
  // The umask may have taken the owner's own rights from it.
  if (created && (status.st_mode & 0777) != kPrivateMode && !base::ChangeMode(fd, kPrivateMode)) {
    return base::ErrnoStatus(absl::StrCat("chmod directory ", path));
  }
  return Directory(std::move(fd), std::move(path));
}

absl::StatusOr<Directory> Directory::OpenAny(absl::string_view path) {
  std::string name(path);
  base::Fd fd(base::Retry([&] { return ::open(name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd.valid()) return OpenError(errno, 0, name);
  return Directory(std::move(fd), std::move(name));
}

std::string Directory::PathOf(absl::string_view name) const {
  return absl::StrCat(path_ == "/" ? "" : path_, "/", name);
}

void Directory::ForEachEntry(absl::FunctionRef<bool(const dirent& entry)> take) const {
  base::Fd fd(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd.get()), &::closedir);
  if (entries == nullptr) return;
  fd.Release();  // closedir(3) closes it
  while (const dirent* entry = ::readdir(entries.get())) {
    if (!take(*entry)) return;
  }
}

int Directory::Call(CallOnAddress* call, const base::Fd& socket, absl::string_view name) const {
  const auto call_on = [&](const sockaddr_un& address) {
    const int result =
        base::Retry([&] { return call(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)); });
    return result == 0 ? 0 : errno;
  };
  const int error = call_on(SocketAddress(absl::StrCat(base::ProcPath(fd_), "/", name)));
  if ((error != ENOENT && error != EACCES) || base::HasProc()) return error;
  bool has_run = false;
  const int result = RunInDirectory(fd_, [&] {
    has_run = true;
    return call_on(SocketAddress(name));
  });
  return has_run ? result : ENOSYS;
}

int Directory::Bind(const base::Fd& socket, absl::string_view name) const {
  return Call(&::bind, socket, name);
}

int Directory::Connect(const base::Fd& socket, absl::string_view name) const {
  return Call(&::connect, socket, name);
}

sockaddr_un SocketAddress(absl::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  NEARCALL_CHECK(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<Directory> OpenServerDirectory(Directory::IfMissing if_missing) {
  const auto chosen = ChosenDirectory();
  if (!chosen.ok()) return chosen.status();
  if (*chosen) return Directory::OpenPrivate(**chosen, if_missing);
  if (const auto runtime = RuntimeDirectory()) return Directory::OpenPrivate(*runtime, if_missing);
  if (::geteuid() == 0) {
    auto directory = Directory::OpenPrivate(kSystemDirectory, if_missing);
    if (!absl::IsNotFound(directory.status())) return directory;  // there are systems without /run
  }
  return Directory::OpenPrivate(TemporaryDirectory(), if_missing);
}

bool DirectoryIsChosen() {
  return Environment("NEARCALL_DIR").has_value();
}

absl::StatusOr<std::vector<std::string>> ClientDirectories() {
  const auto chosen = ChosenDirectory();
  if (!chosen.ok()) return chosen.status();
  if (*chosen) return std::vector<std::string>{**chosen};
  std::vector<std::string> directories;
  if (const auto runtime = RuntimeDirectory()) directories.push_back(*runtime);
  directories.emplace_back(kSystemDirectory);
  directories.push_back(TemporaryDirectory());
  return directories;
}

}  // namespace nearcall::transport
