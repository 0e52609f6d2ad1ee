// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nearcall/server_context.h"

namespace nearcall::session {

// Who serves at the other end of a connection, as texts name it: its server, or its client, for calls that the server
// begins.
struct ServerName {
  // "the client": there is none.
  static constexpr absl::string_view kClient = "the client";

  std::string address;
  std::string transport;
  PeerIdentity peer;

  bool is_client() const { return address == kClient; }
  std::string Text() const {
    return absl::StrCat(is_client() ? "" : "the server at ", address, " (pid ", peer.pid, ", ", transport, ")");
  }

  // `what`: "no reply", what has not come in time; `more`: what else is known.
  absl::Status Late(absl::string_view what, absl::string_view more = "") const {
    return absl::DeadlineExceededError(
        absl::StrCat(what, " from ", address, " (", transport, ") within the deadline", more));
  }

  // An element may not be sent now, and is not to wait.
  absl::Status NoCredit() const {
    return absl::ResourceExhaustedError(absl::StrCat("no credit for an element to ", address, ": ",
                                                     is_client() ? "it" : "the server",
                                                     " has not read what it was sent"));
  }
};

}  // namespace nearcall::session
