// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/shared_name.h"

#include <dirent.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/limits.h"
#include "base/syscall.h"

namespace nearcall::transport {

namespace {

bool IsNameOfOne(const dirent& entry) {
  const bool is_socket = entry.d_type == DT_SOCK || entry.d_type == DT_UNKNOWN;
  return is_socket && entry.d_name[0] != '.' && std::strlen(entry.d_name) <= base::kMaxNameSize;
}

std::vector<Address> ListDirectory(const Directory& directory, const Address& name) {
  std::vector<Address> servers;
  directory.ForEachEntry([&](const dirent& entry) {
    if (!IsNameOfOne(entry)) return true;
    Address server = name;
    server.name = entry.d_name;
    server.directory = directory.path();
    server.text = absl::StrCat(name.text, " (", entry.d_name, ")");
    servers.push_back(std::move(server));
    return servers.size() < base::kMaxNamesProbed;
  });
  return servers;
}

// A server may have just this name for itself. A link is not followed.
bool IsDirectory(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// A path's is the administrator's, as the directory of a path is.
absl::StatusOr<Directory> Open(const std::string& path, Address::Kind kind) {
  return kind == Address::Kind::kPath ? Directory::OpenAny(path)
                                      : Directory::OpenPrivate(path, Directory::IfMissing::kFail);
}

}  // namespace

std::string SharedDirectoryName(absl::string_view name) {
  return absl::StrCat(name, ".d");
}

std::string NewNameOfOne() {
  uint32_t random = 0;
  base::Retry([&] { return ::getrandom(&random, sizeof(random), 0); });
  return absl::StrFormat("%d-%08x", ::getpid(), random);
}

absl::StatusOr<std::vector<Address>> ServersBehind(const Address& name) {
  std::vector<std::string> paths;
  if (name.kind == Address::Kind::kPath) {
    paths.push_back(SharedDirectoryName(name.name));
  } else if (name.kind == Address::Kind::kName) {
    auto directories = ClientDirectories();
    if (!directories.ok()) return directories.status();
    for (const std::string& directory : *directories) {
      paths.push_back(absl::StrCat(directory, "/", SharedDirectoryName(name.name)));
    }
  }
  for (const std::string& path : paths) {
    if (!IsDirectory(path)) continue;
    const auto directory = Open(path, name.kind);
    if (absl::IsNotFound(directory.status())) continue;
    if (!directory.ok()) return directory.status();
    std::vector<Address> servers = ListDirectory(*directory, name);
    if (!servers.empty()) return servers;
  }
  return std::vector<Address>();
}

}  // namespace nearcall::transport
