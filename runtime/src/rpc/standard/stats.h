// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "nearcall/co_stream.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"
#include "nearcall/standard/stats.pb.h"
#include "nearcall/task.h"
#include "rpc/server/poller.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

// What the server counts and holds (idl/nearcall/stats/v1/stats.proto), by the nouns of its DebugString().
class Stats final : public Service {
 public:
  using Request = wire::stats::GetRequest;
  using Response = wire::stats::GetResponse;

  // Both outlive this.
  Stats(ServerCore& core, const std::vector<std::unique_ptr<Poller>>& pollers) : core_(core), pollers_(pollers) {}

  absl::Status Get(ServerContext& context, const Request& request, Response& response);

  using TraceRequest = wire::stats::TraceRequest;
  using TraceResponse = wire::stats::TraceResponse;
  // `stream`: the one beneath `writer`. It needs no thread.
  Task<absl::Status> Trace(ServerContext& context, const TraceRequest& request, internal::ServerStream& stream,
                           CoServerWriter<TraceResponse>& writer);

  const internal::ServiceInfo& GetServiceInfo() const override;

 private:
  using Sessions = std::vector<std::shared_ptr<session::ServerSession>>;

  Sessions AllSessions() const;
  void PutServer(size_t connections, wire::stats::Server& server) const;
  void PutMethods(Response& response) const;
  void PutConnections(Sessions sessions, size_t most, Response& response) const;

  ServerCore& core_;
  const std::vector<std::unique_ptr<Poller>>& pollers_;
  const base::SteadyNs since_ = base::NowNs();
};

}  // namespace nearcall::rpc
