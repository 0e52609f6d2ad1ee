// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/channel.h"
#include "session/client_session.h"

namespace nearcall::rpc {

// What a channel serves (ChannelOptions::services), and the threads that do. Thread-safe.
class ChannelServices {
 public:
  // RESOURCE_EXHAUSTED: no threads, no descriptors. INVALID_ARGUMENT: two services, or methods, of one name.
  static absl::StatusOr<std::unique_ptr<ChannelServices>> Start(const ChannelOptions& options);

  ChannelServices() = default;
  ChannelServices(const ChannelServices&) = delete;
  ChannelServices& operator=(const ChannelServices&) = delete;
  virtual ~ChannelServices() = default;

  // From now on calls that come over `session`, which nobody has used yet, are served, until it ends. Reads what comes.
  virtual absl::Status Attach(const std::shared_ptr<session::ClientSession>& session) = 0;

  // Hangs up on all sessions, and waits until no handler runs. True: done. False: it was called by a handler, and this
  // must not be destroyed.
  [[nodiscard]] virtual bool Stop() = 0;
};

}  // namespace nearcall::rpc
