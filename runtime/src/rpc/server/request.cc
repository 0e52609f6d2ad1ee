// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/request.h"

namespace nearcall::rpc {

internal::MethodKind Request::kind() const {
  const bool client_streams = !message.header.has(wire::kEnd);
  const bool server_streams = message.header.has(wire::kElements);
  if (client_streams) {
    return server_streams ? internal::MethodKind::kBidiStreaming : internal::MethodKind::kClientStreaming;
  }
  return server_streams ? internal::MethodKind::kServerStreaming : internal::MethodKind::kUnary;
}

wire::FrameHeader Request::HeaderOf(wire::FrameKind frame) const {
  wire::FrameHeader header;
  header.kind = frame;
  header.priority = static_cast<uint8_t>(priority);
  header.call_id = message.header.call_id;
  header.method_id = message.header.method_id;
  return header;
}

}  // namespace nearcall::rpc
