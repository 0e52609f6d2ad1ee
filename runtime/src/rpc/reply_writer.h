// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "google/protobuf/message_lite.h"
#include "session/outbox.h"
#include "wire/header.h"

namespace nearcall::rpc {

// Sends `envelope` and then `reply` (which may be null; `reply_size` is its ByteSizeLong(), just computed) as one
// message. Never blocks: what does not fit now is kept, serialised, in the outbox. If it is not written the client has
// been told to forget what was sent.
enum class Written {
  kAll,
  kChanged,    // not: the reply is not as large as it said (somebody changes it meanwhile)
  kOverQuota,  // not: too much is kept already
};
[[nodiscard]] Written WriteReply(session::Outbox& outbox, size_t max_frame_size, const wire::FrameHeader& header,
                                 std::span<const std::byte> envelope, const google::protobuf::MessageLite* reply,
                                 size_t reply_size);

}  // namespace nearcall::rpc
