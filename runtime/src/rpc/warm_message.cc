// SPDX-License-Identifier: Apache-2.0
#include "nearcall/internal/warm_message.h"

#include "base/warm_memory.h"

namespace nearcall::internal {

using google::protobuf::MessageLite;

std::unique_ptr<MessageLite> TakeLargeMessage(const MessageLite& prototype) {
  return std::unique_ptr<MessageLite>(static_cast<MessageLite*>(base::WarmMemory::TakeObject(&prototype)));
}

void KeepLargeMessage(const MessageLite& prototype, std::unique_ptr<MessageLite> message, size_t bytes) {
  base::WarmMemory::GiveObject(
      {.object = message.release(), .size = bytes, .kind = &prototype, .destroy = [](void* object) {
         delete static_cast<MessageLite*>(object);
       }});
}

}  // namespace nearcall::internal
