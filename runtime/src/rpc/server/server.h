// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/fork.h"
#include "nearcall/server.h"
#include "rpc/server/admission.h"
#include "rpc/server/connection_ids.h"
#include "rpc/server/door.h"
#include "rpc/server/poller.h"
#include "rpc/server/server_core.h"
#include "rpc/server/server_stage.h"
#include "rpc/server/signals.h"
#include "rpc/server/stuck_calls.h"
#include "rpc/standard/health.h"
#include "rpc/standard/reflection.h"
#include "rpc/standard/stats.h"
#include "transport/control.h"

namespace nearcall::rpc {

// The server behind nearcall::Server: a door, pollers, and the way to the end (ServerStage).
class ServerImpl final : public Server {
 public:
  explicit ServerImpl(ServerOptions options);
  ~ServerImpl() override;

  // Whether the caller is a thread of this server: one that runs its handlers, or their stop callbacks, or whatever
  // else in its event queue.
  bool OnItsThread() const;

  // By such a one, for which nobody can wait: the end of the server, if it comes now. It does in the event queue, if
  // that runs nothing of the server's just now, and what it has begun ends without anything else. False: it hangs up,
  // and nothing of it may be destroyed.
  bool TryEndHere();

  // Before Start().
  absl::Status Register(Service* service) { return core_.services.Add(service); }
  absl::Status RegisterGeneric(Service* service) { return core_.services.AddGeneric(service); }

  absl::Status Start(std::vector<Door::Entry> entries);
  // After Start(), if the service manager has passed sockets: that the server is ready, and then that it stops.
  void TellServiceManager();

  // The socket of the client that has started this process. Before Start(): the server ends when its clients have gone.
  void ServeParent(base::Fd socket) { parent_ = std::move(socket); }

  absl::Status ServeFd(int fd) override;
  absl::StatusOr<std::shared_ptr<Channel>> InProcessChannel(ChannelOptions options) override;
  void Wait() override;
  void Shutdown(absl::Duration grace) override;
  std::string DebugString() const override;
  void SetServing(absl::string_view service, bool serving) override;

 private:
  void OnConnection(transport::Connection connection, ConnectionIds::LeasePtr lease);
  void OnSignal();
  void BeginShutdown(absl::Duration grace);
  void TellEverybody();
  bool HasClients() const;
  void HangUpAll();
  void OnDrained();
  void RunUntilClosed();
  bool EndsInQueue();
  void Destroy();

  const base::ForkGuard fork_guard_;
  std::atomic<bool> tells_service_manager_{false};
  std::unique_ptr<Signals> signals_;  // the last to go: what comes while all else ends is still caught
  const size_t poller_count_;
  ServerCore core_;
  Health health_{core_.services};
  Reflection reflection_{core_.services};
  base::Fd parent_;
  Admission admission_{core_};
  ConnectionIds ids_;
  // Keeps the thread of all timers and control sockets running, so that a client that comes when nothing is left can
  // still be told so.
  std::unique_ptr<transport::Timer> monitor_;
  std::vector<std::unique_ptr<Poller>> pollers_;
  Stats stats_{core_, pollers_};
  std::unique_ptr<Door> door_;
  StuckCalls stuck_calls_{core_};

  ServerStage stage_;
};

}  // namespace nearcall::rpc
