// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "nearcall/channel.h"
#include "rpc/channel_services.h"
#include "rpc/client/children.h"
#include "rpc/client/queued_dial.h"
#include "rpc/client/state_news.h"
#include "session/client_session.h"
#include "transport/address.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

// The address of one server, and the session that is connected to it now. When the session has ended the next one who
// wants it connects again; one does it, the others wait for the outcome.
//
// Thread-safe. Owned by the channel's Servers.
class Connector {
 public:
  using SessionPtr = std::shared_ptr<session::ClientSession>;

  // `reactor`: of the user's event queue; may be null.
  Connector(transport::Address address, const ChannelOptions& options, base::Reactor* reactor,
            std::shared_ptr<base::Logger> logger, std::shared_ptr<StateNews> news);
  // Of a session that somebody else has made: there is no other. `after`: what comes then.
  Connector(SessionPtr session, absl::Status after, const ChannelOptions& options, base::Reactor* reactor,
            std::shared_ptr<base::Logger> logger, std::shared_ptr<StateNews> news);
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  ~Connector();

  const transport::Address& address() const { return address_; }
  // Whether it can make a session.
  bool connects() const { return after_.ok(); }
  // Before the first session: what is served over each.
  void set_services(ChannelServices* services) { services_ = services; }

  // The usable session, connected now if there is none; does not wait for a server to appear.
  absl::StatusOr<SessionPtr> Get(base::SteadyNs deadline);
  // The same in the user's event queue: nullopt, if there is none yet. Then `wake` is called (once, on any thread) when
  // it is worth while to ask again.
  std::optional<absl::StatusOr<SessionPtr>> Poll(std::function<void()> wake);
  // nullptr: there is none.
  SessionPtr present() const;

  // The transport of the present session, or of the last one.
  std::string transport() const;
  std::string DebugString() const;

  ChannelState state() const;

 private:
  // What it is connected by, or was last.
  struct Link {
    bool usable() const { return session != nullptr && session->usable(); }

    std::string transport;
    SessionPtr session;
  };
  // The attempt that is under way, or the last one.
  struct Attempt {
    bool runs = false;
    std::shared_ptr<QueuedDial> dial;  // if the event queue does that
    std::function<void()> wake;        // if it waits for another who does
    // A child is just starting, and whose call it was for could not wait: the next one goes on.
    std::unique_ptr<transport::Dial> unfinished;
    uint64_t ended = 0;  // how many have
    absl::Status failure;
  };

  absl::StatusOr<SessionPtr> Finish(QueuedDial& dial, base::SteadyNs deadline);
  absl::StatusOr<SessionPtr> ConnectOnce(base::SteadyNs deadline);
  absl::StatusOr<SessionPtr> StartChild(std::unique_ptr<transport::Dial> dial, base::SteadyNs deadline);
  std::unique_ptr<transport::Dial> TakeUnfinished() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  transport::ConnectParams Params(base::SteadyNs deadline) const;
  absl::StatusOr<SessionPtr> Open(transport::Connection connection) const;
  absl::Status CheckMayConnect() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Conclude(const absl::StatusOr<SessionPtr>& fresh);

  const base::ForkGuard fork_guard_;
  const transport::Address address_;
  const absl::Status after_;  // not OK: of a session that it has not made
  ChannelServices* services_ = nullptr;
  const ChannelOptions& options_;
  base::Reactor* const reactor_;  // of the user's event queue; may be null
  const std::shared_ptr<base::Logger> logger_;
  const std::shared_ptr<StateNews> news_;
  const std::unique_ptr<Children> children_;  // null: the server is none of this process's

  mutable base::Mutex mutex_;
  base::CondVar attempt_ended_;
  Link link_ ABSL_GUARDED_BY(mutex_);
  Attempt attempt_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
