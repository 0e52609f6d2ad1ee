// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "session/client_session.h"

namespace nearcall::rpc {

// Of a message: what both sides take.
struct SizeLimit {
  size_t bytes;
  const char* whose;

  // `ours`: ChannelOptions::max_message_size.
  static SizeLimit Of(size_t ours, const session::ClientSession& session) {
    const size_t theirs = session.terms().peer_max_message_size;
    return ours <= theirs ? SizeLimit{ours, "ChannelOptions"} : SizeLimit{theirs, "the server's ServerOptions"};
  }

  std::string Text() const { return absl::StrCat(whose, "::max_message_size (", bytes, " B)"); }
};

}  // namespace nearcall::rpc
