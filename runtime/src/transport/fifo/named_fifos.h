// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/name_watch.h"

// The FIFOs of a name. A client finds the one to the server, `<name>.c2s`, and by its inode the one back,
// `<name>.s2c-<inode>`: so no two FIFOs of different pairs are ever taken for one. A pair serves one client, and loses
// its names when that has said hello.
namespace nearcall::transport::fifo {

// One end of both. `outgoing` is open for reading too: so it always has a reader, and writing raises no SIGPIPE.
// `incoming` is not open for writing: so it ends when the peer holds its end no more.
struct Fifos {
  base::Fd incoming = {};
  base::Fd outgoing = {};
  FileId id = {};  // of the one to the server
};

std::string RequestsName(absl::string_view name);
std::string RepliesName(absl::string_view name, ino_t requests);

// --- the server's side ---

// Makes a pair of FIFOs of mode 0600 and puts it under its names; then it can be found.
absl::StatusOr<Fifos> MakeFifos(const Directory& directory, const std::string& name);

// Takes the names away, if they are still theirs.
absl::Status RemoveFifos(const Directory& directory, const std::string& name, const FileId& id);

// ALREADY_EXISTS if a live server has the name, or something else. What a dead one has left is removed. Under the
// directory's lock.
absl::Status CheckFifosAreFree(const Directory& directory, const std::string& name);

// What dead servers of any name of this user have left there.
void SweepFifos(const Directory& directory);

// --- the client's side ---

// Opens what stands under the name. nullopt: another client is shaking hands, or was a moment ago; to be tried again.
// UNAVAILABLE if no server listens there, PERMISSION_DENIED if it is not this user's alone.
absl::StatusOr<std::optional<Fifos>> OpenFifos(const Directory& directory, const std::string& name);

}  // namespace nearcall::transport::fifo
