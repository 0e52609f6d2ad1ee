// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace nearcall::tools {

absl::StatusOr<std::shared_ptr<Channel>> ConnectTo(const std::string& address, absl::Time deadline) {
  const absl::Duration left = std::max(deadline - absl::Now(), absl::Milliseconds(1));
  // What the server has to say of it goes to the status.
  return Channel::Connect(address, {.handshake_timeout = left, .log_sink = [](LogSeverity, absl::string_view) {}});
}

absl::StatusOr<std::unique_ptr<Schema>> MakeSchema(const Settings& settings, std::shared_ptr<Channel> channel) {
  if (settings.has_files()) return Schema::OfFiles(settings.protosets, settings.protos, settings.import_paths);
  return Schema::OfServer(std::move(channel), settings.deadline);
}

Outcome OfSchema(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) {
    return Outcome::Because(kUnknownSymbol, std::string(status.message()));
  }
  return Outcome::OfCall(status);
}

}  // namespace nearcall::tools
