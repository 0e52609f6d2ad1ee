// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "nearcall/channel.h"

namespace nearcall::integration {

// Whether the channels of this run have event queues and no threads ($NEARCALL_TEST_CLIENT_STYLE is "event-queue").
bool ChannelsHaveQueues();

// The channel that `connect` makes with these options; in such a run one with a queue of its own, and a QueueThread.
using ConnectWith = std::function<absl::StatusOr<std::shared_ptr<Channel>>(ChannelOptions)>;
absl::StatusOr<std::shared_ptr<Channel>> ConnectInStyle(ChannelOptions options, const ConnectWith& connect);

// Ends the loops of channels that were destroyed in them; not in one of them.
void EndLeftLoops();

}  // namespace nearcall::integration
