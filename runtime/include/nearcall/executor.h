// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "absl/functional/any_invocable.h"

namespace nearcall {

// Where a channel's callbacks run: hands `task` to some thread, which runs it once.
//
//   ChannelOptions{.executor = [&pool](auto task) { pool.Schedule(std::move(task)); }}
//
// Called by one thread of the channel at a time, without a lock; must not block, and must not throw. A task that is
// dropped is a callback that never runs. Tasks may outlive the channel.
using Executor = std::function<void(absl::AnyInvocable<void() &&> task)>;

}  // namespace nearcall
