// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nearcall/server_context.h"

namespace nearcall::session {

// The server at the other end of a connection, as texts name it.
struct ServerName {
  std::string address;
  std::string transport;
  PeerIdentity peer;

  std::string Text() const { return absl::StrCat("the server at ", address, " (pid ", peer.pid, ", ", transport, ")"); }

  // `what`: "no reply", what has not come in time.
  absl::Status Late(absl::string_view what) const {
    return absl::DeadlineExceededError(absl::StrCat(what, " from ", address, " (", transport, ") within the deadline"));
  }
  absl::Status NoReply() const { return Late("no reply"); }
};

}  // namespace nearcall::session
