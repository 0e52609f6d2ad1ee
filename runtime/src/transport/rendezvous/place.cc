// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/place.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/syscall.h"
#include "transport/rendezvous/shared_name.h"

namespace nearcall::transport {

namespace {

// With a sticky bit only who owns a name may take it away, or rename it.
absl::Status CheckNamesAreSafe(const Directory& directory) {
  struct stat status;
  if (::fstat(directory.fd(), &status) != 0) {
    return base::ErrnoStatus(absl::StrCat("fstat directory ", directory.path()));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (status.st_mode & S_ISVTX) != 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "directory %s can be written by group or others and has no sticky bit (mode %04o): they could put "
      "something else in the socket's place; chmod go-w it, or chmod +t",
      directory.path(), status.st_mode & 07777));
}

absl::StatusOr<Place> PlaceOfName(const Address& address) {
  auto directory = OpenServerDirectory();
  if (!directory.ok()) return directory.status();
  return Place{.directory = *std::move(directory),
               .name = address.name,
               .lock_name = ".lock",
               .sweep = DirectoryIsChosen() ? Place::Sweep::kMarked : Place::Sweep::kAll};
}

// The directory of a path: others cannot put something else in the place of what stands there.
absl::StatusOr<Directory> ParentOf(const Address& address) {
  const size_t slash = address.name.rfind('/');
  auto directory = Directory::OpenAny(slash == 0 ? "/" : address.name.substr(0, slash));
  if (!directory.ok()) return directory.status();
  if (absl::Status safe = CheckNamesAreSafe(*directory); !safe.ok()) return safe;
  return directory;
}

// Beside the others that share the name.
absl::StatusOr<Place> PlaceOfOne(const Address& address) {
  std::string path = address.name;
  if (address.kind == Address::Kind::kName) {
    const auto parent = OpenServerDirectory();
    if (!parent.ok()) return parent.status();
    path = parent->PathOf(address.name);
  } else {
    const auto parent = ParentOf(address);
    if (!parent.ok()) return parent.status();
  }
  auto directory = Directory::OpenPrivate(SharedDirectoryName(path), Directory::IfMissing::kCreate);
  if (!directory.ok()) return directory.status();
  return Place{
      .directory = *std::move(directory), .name = NewNameOfOne(), .lock_name = ".lock", .sweep = Place::Sweep::kAll};
}

absl::StatusOr<Place> PlaceOfPath(const Address& address) {
  auto directory = ParentOf(address);
  if (!directory.ok()) return directory.status();
  std::string name = address.name.substr(address.name.rfind('/') + 1);
  std::string lock_name = absl::StrCat(".", name, ".lock");
  return Place{.directory = *std::move(directory),
               .name = std::move(name),
               .lock_name = std::move(lock_name),
               .sweep = Place::Sweep::kNone};
}

// Who names a group means it, and nobody else. Else: other users have nothing to do in a directory of names; other uids
// and containers meet at a path, where anybody may connect, and the kernel's credentials decide.
mode_t DefaultMode(const Address& address, bool has_group) {
  if (has_group) return 0660;
  return address.kind == Address::Kind::kName ? 0600 : 0666;
}

}  // namespace

absl::StatusOr<Place> PlaceOf(const Address& address, const SocketAccess& access) {
  auto place = address.shared                         ? PlaceOfOne(address)
               : address.kind == Address::Kind::kName ? PlaceOfName(address)
                                                      : PlaceOfPath(address);
  if (!place.ok()) return place;
  place->mode = kSocketMark | access.mode.value_or(DefaultMode(address, access.group.has_value()));
  place->group = access.group;
  return place;
}

}  // namespace nearcall::transport
