// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mutex.h"
#include "nearcall/channel.h"
#include "rpc/async_calls.h"
#include "rpc/client_stream.h"
#include "session/client_session.h"
#include "transport/address.h"

namespace nearcall::rpc {

// The channel behind nearcall::Channel: an address, and the session that is connected to it now. When the session has
// ended the next call connects again; one caller does it, the others wait for the outcome.
class ChannelImpl final : public Channel, private AsyncCalls::Owner {
 public:
  ChannelImpl(transport::Address address, ChannelOptions options);
  ~ChannelImpl() override;

  // The first connection, waiting for the server until `connect_timeout`.
  absl::Status ConnectFirst();

  std::string transport() const override;
  std::string DebugString() const override;
  absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply, const CallOptions& options) override;
  void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                 const CallOptions& options, internal::OnOutcome done) override;
  std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                     const google::protobuf::MessageLite* request,
                                                     const CallOptions& options) override;

 private:
  using SessionPtr = std::shared_ptr<session::ClientSession>;

  // How long a caller waits: for a server to appear (while nobody listens), for an answer of one that is there, and
  // unless it is cancelled.
  struct Patience {
    base::SteadyNs for_server;
    base::SteadyNs deadline;
    std::stop_token stop = {};
  };

  // The usable session, connected now if there is none.
  absl::StatusOr<SessionPtr> GetSession(const Patience& patience);
  absl::StatusOr<SessionPtr> Reconnect(base::SteadyNs deadline);
  absl::StatusOr<SessionPtr> ConnectOnce(base::SteadyNs deadline);
  absl::Status TryCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                       google::protobuf::MessageLite& reply, const CallOptions& options);
  absl::Status TryOpen(ClientStreamImpl& stream, const google::protobuf::MessageLite* request,
                       const CallOptions& options);
  absl::Status CheckNotForked() const;

  // AsyncCalls::Owner
  absl::StatusOr<SessionPtr> Connect(base::SteadyNs deadline) override;
  bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) override;

  // Those of the present connection; nullptr: the channel is going away.
  std::shared_ptr<AsyncCalls> PresentAsyncCalls();

  const transport::Address address_;
  const ChannelOptions options_;
  const std::shared_ptr<base::Logger> logger_;
  const base::ForkGuard fork_guard_;

  mutable base::Mutex mutex_;
  base::CondVar attempt_ended_;
  SessionPtr session_ ABSL_GUARDED_BY(mutex_);
  std::string transport_name_ ABSL_GUARDED_BY(mutex_);  // of the present session, or the last one
  bool connecting_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t attempts_ ABSL_GUARDED_BY(mutex_) = 0;  // connection attempts that have ended
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<AsyncCalls>> async_ ABSL_GUARDED_BY(mutex_);  // the last one: of the present connection
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
