// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nearcall/server_context.h"

namespace nearcall::session {

// The server at the other end of a connection, as texts name it.
struct ServerName {
  std::string address;
  std::string transport;
  PeerIdentity peer;

  std::string Text() const { return absl::StrCat("the server at ", address, " (pid ", peer.pid, ", ", transport, ")"); }

  absl::Status NoReply() const {
    return absl::DeadlineExceededError(
        absl::StrCat("no reply from ", address, " (", transport, ") within the deadline"));
  }
};

}  // namespace nearcall::session
