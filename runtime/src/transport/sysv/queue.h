// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ipc.h>
#include <sys/types.h>

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/server_context.h"

// A System V message queue (msgop(2)): one direction of a connection. It is no descriptor but a number, and stays until
// somebody removes it.
namespace nearcall::transport::sysv {

using QueueId = int;

inline constexpr QueueId kNoQueue = -1;

// How full a queue is. The kernel takes a message if its bytes fit beside those that are there.
struct QueueLevel {
  size_t messages = 0;
  size_t bytes = 0;
  size_t capacity_bytes = 0;
};

// Makes a queue that this process's user and the user `peer` can use, and nobody else but root. ALREADY_EXISTS if there
// is one of that key, RESOURCE_EXHAUSTED with the limit's name, its value and a remedy; UNAVAILABLE where there are no
// such queues.
absl::StatusOr<QueueId> CreateQueue(key_t key, uid_t peer);

// The queue of that key; kNoQueue if there is none, or it was made by another user.
QueueId FindOwnQueue(key_t key);

// What of the queue, which `server` has named, is not as it should be: made by that user, and for this one alone.
// INTERNAL then; UNAVAILABLE if there is no such queue (any more).
absl::Status VerifyQueue(QueueId queue, const PeerIdentity& server);

// Nothing if the queue is gone.
std::optional<QueueLevel> LevelOf(QueueId queue);

// Whether `error`, of a call for a queue that once was there, says that it is gone.
bool IsGone(int error);

// Whoever uses the queue is told that it is gone. Nothing happens if it is gone already.
void RemoveQueue(QueueId queue);

}  // namespace nearcall::transport::sysv
