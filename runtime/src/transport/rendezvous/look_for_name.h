// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// Looks for a server's name in one directory of ClientDirectories() after the other, by `look`, which says UNAVAILABLE
// where it is not; anything else ends the search. So does a directory that others could write to: what they put there
// could pose as the server. `alone`: there is no other one.
template <typename Found>
absl::StatusOr<Found> LookForName(
    absl::FunctionRef<absl::StatusOr<Found>(const Directory& directory, bool alone)> look) {
  const absl::StatusOr<std::vector<std::string>> paths = ClientDirectories();
  if (!paths.ok()) return paths.status();
  std::vector<std::string> looked_at;
  for (const std::string& path : *paths) {
    const absl::StatusOr<Directory> directory = Directory::OpenPrivate(path, Directory::IfMissing::kFail);
    if (absl::IsNotFound(directory.status())) {
      looked_at.push_back(absl::StrCat(path, " (does not exist)"));
      continue;
    }
    if (!directory.ok()) return directory.status();
    absl::StatusOr<Found> found = look(*directory, paths->size() == 1);
    if (!absl::IsUnavailable(found.status())) return found;
    looked_at.emplace_back(found.status().message());
  }
  return absl::UnavailableError(absl::StrCat("no server listens; looked at ", absl::StrJoin(looked_at, ", "),
                                             "; start it, or set NEARCALL_DIR as it is set for the server"));
}

}  // namespace nearcall::transport
