// SPDX-License-Identifier: Apache-2.0
#include "nearcall/call_options.h"

#include "nearcall/server_context.h"

namespace nearcall {

CallOptions CallOptions::FromServer(ServerContext& context) {
  CallOptions options;
  if (const absl::Time deadline = context.deadline(); deadline != absl::InfiniteFuture()) options.deadline = deadline;
  options.priority = context.priority();
  options.stop_token = context.stop_token();
  for (const auto& [key, value] : context.client_metadata()) {
    if (key == "traceparent" || key == "tracestate") options.metadata.Add(key, value);
  }
  return options;
}

}  // namespace nearcall
