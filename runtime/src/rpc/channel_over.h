// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "nearcall/channel.h"
#include "session/client_session.h"

namespace nearcall::rpc {

// A channel over a session that somebody else has made, and over no other one: what it cannot do, or what comes after
// the session's end, ends with `after`. `session` may be null.
std::shared_ptr<Channel> ChannelOver(std::shared_ptr<session::ClientSession> session, absl::Status after,
                                     ChannelOptions options);

}  // namespace nearcall::rpc
