// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "base/thread.h"
#include "nearcall/channel.h"
#include "rpc/client/connector.h"
#include "rpc/client/members.h"
#include "rpc/client/state_news.h"
#include "transport/address.h"

namespace nearcall::rpc {

// Who serves a channel's address: one server; or, if nobody has the name for himself, those that share it. To each of
// these there is a connection (to kMaxServersOfAName at most), and a call goes to whoever has the fewest of this
// channel's. Which there are is looked at while the channel is used, every kLookAroundNs; no call waits for one that
// comes while there is another.
//
// Thread-safe. Owned by the channel.
class Servers {
 public:
  using SessionPtr = Connector::SessionPtr;

  // How long somebody waits: for a server to appear (while nobody listens), for an answer of one that is there, and
  // unless it is cancelled.
  struct Patience {
    base::SteadyNs for_server;
    base::SteadyNs deadline;
    std::stop_token stop = {};
  };

  // `reactor`: of the user's event queue; may be null.
  Servers(transport::Address address, const ChannelOptions& options, base::Reactor* reactor,
          std::shared_ptr<base::Logger> logger);
  // See Connector.
  Servers(SessionPtr session, absl::Status after, const ChannelOptions& options, base::Reactor* reactor,
          std::shared_ptr<base::Logger> logger);
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;
  ~Servers();

  const transport::Address& address() const { return by_name_->address(); }
  // Whether several may stand behind the address: each call may have another session.
  bool shared() const { return shared_.load(std::memory_order_acquire); }

  bool connects() const { return by_name_->connects(); }
  // Before the first session: what is served over each.
  void set_services(ChannelServices* services);

  // A usable session for one call, connected now if there is none.
  absl::StatusOr<SessionPtr> Get(const Patience& patience);
  // The same in the user's event queue: nullopt, if there is none yet. Then `wake` is called (on any thread) when it is
  // worth while to ask again.
  std::optional<absl::StatusOr<SessionPtr>> Poll(const std::function<void()>& wake);
  // nullptr: there is none.
  SessionPtr present();

  // The transport of a present session, or of the last one.
  std::string transport() const;
  std::string DebugString() const;

  ChannelState state() const;
  // False: it is still `last` at `deadline`.
  bool WaitForChange(ChannelState last, base::SteadyNs deadline) const;

 private:
  using Member = Members::Member;

  absl::StatusOr<SessionPtr> TryOnce(base::SteadyNs deadline);
  absl::StatusOr<SessionPtr> TryMembers(base::SteadyNs deadline);
  absl::Status LookAround();
  void LookAroundNowAndThen();
  void Dial();
  void DialUnconnected();

  const ChannelOptions& options_;
  base::Reactor* const reactor_;
  const std::shared_ptr<base::Logger> logger_;
  const std::shared_ptr<StateNews> news_ = std::make_shared<StateNews>();
  const base::ForkGuard fork_guard_;
  const Member by_name_;
  ChannelServices* services_ = nullptr;
  Members members_;  // none unless it is shared
  std::atomic<bool> shared_{false};
  std::atomic<base::SteadyNs> look_at_{0};  // again
  std::atomic<bool> stopping_{false};

  base::Mutex mutex_;
  base::Thread dialer_ ABSL_GUARDED_BY(mutex_);  // connects to those that have come
  bool dialing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
