// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/descriptors.h"
#include "google/protobuf/message_lite.h"
#include "rpc/attachments.h"
#include "session/outbox.h"
#include "wire/header.h"

namespace nearcall::rpc {

// Sends `envelope`, then `payload` (which may be null; `payload_size` is its ByteSizeLong(), just computed) and what of
// `attached` stands behind it, as one message: a reply, or an element. Never blocks: what does not fit now is kept,
// serialised, in the outbox. If it is not written the client has been told to forget what was sent. `flow`: what orders
// it among others of its call; may be null. `descriptors`: that go with it, as many as the header says; may be null.
// `attached`: may be null.
enum class Written {
  kAll,
  kChanged,    // not: the reply is not as large as it said (somebody changes it meanwhile)
  kOverQuota,  // not: too much is kept already
};
[[nodiscard]] Written WriteMessage(session::Outbox& outbox, size_t max_frame_size, const wire::FrameHeader& header,
                                   std::span<const std::byte> envelope, const google::protobuf::MessageLite* payload,
                                   size_t payload_size, session::Flow* flow = nullptr,
                                   std::shared_ptr<const base::Descriptors> descriptors = nullptr,
                                   const Attached* attached = nullptr);

}  // namespace nearcall::rpc
