// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// Where a server is, as the user writes it:
//
//   shm:search      name in the search directories      search     any transport but those with the trait kOnlyByName
//   shm:/run/a/s    the socket's own path               /run/a/s   the same
//   fd:3            an inherited socket
//   systemd:web     a listening socket of that name that systemd has passed; systemd: all that it has passed
//   exec:/bin/s     a program that the client starts as its server; inherited: in it, the socket to that client
struct Address {
  enum class Kind { kName, kPath, kFd, kActivated, kExec, kInherited };
  Kind kind = Kind::kName;
  std::string transport = {};  // "shm"; empty: any
  std::string name = {};       // name, or absolute path (exec: too); of an activated socket: empty for all
  int fd = -1;
  std::string text = {};  // as written, for messages

  // Not written in an address. `shared`: a server's, that listens behind a name beside others (shared_name.h).
  // `directory`: a client's, of one server behind a shared name; there that has a socket named `name`.
  bool shared = false;
  std::string directory = {};
};

// INVALID_ARGUMENT for an unknown transport (the text lists those of `transports`), an empty or overlong name, a name
// with '/' or "..", a name with characters other than letters, digits, '.', '_', '-', a leading '.', an overlong path,
// a relative path, a malformed fd, or anything behind "inherited:".
absl::StatusOr<Address> ParseAddress(absl::string_view text, std::span<const TransportRow> transports = Transports());

}  // namespace nearcall::transport
