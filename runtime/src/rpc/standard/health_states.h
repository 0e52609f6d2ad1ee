// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "nearcall/internal/stream.h"
#include "nearcall/standard/health.pb.h"
#include "rpc/server/service_table.h"

namespace nearcall::rpc {

// Which services of a server serve: all that there are, and the server itself (""), unless the program says otherwise.
//
// Thread-safe.
class HealthStates {
 public:
  using State = wire::health::HealthCheckResponse::ServingStatus;

  // Somebody who is told when a state may have changed, as long as this lives.
  class Watcher : public base::ListNode<Watcher> {
   public:
    // `stream` is told of news, and outlives this.
    Watcher(HealthStates& states, std::string service, internal::ServerStream& stream);
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    State Get() const { return states_.Get(service_); }

   private:
    friend class HealthStates;

    HealthStates& states_;
    const std::string service_;
    internal::ServerStream& stream_;
  };

  // `services` outlives this.
  explicit HealthStates(const ServiceTable& services) : services_(services) {}
  HealthStates(const HealthStates&) = delete;
  HealthStates& operator=(const HealthStates&) = delete;

  void Set(absl::string_view service, bool serving);
  // SERVICE_UNKNOWN: there is no such service, nor has the program said anything of one.
  State Get(const std::string& service) const;

 private:
  const ServiceTable& services_;

  mutable base::Mutex mutex_;
  std::map<std::string, bool> set_ ABSL_GUARDED_BY(mutex_);  // by the program
  base::List<Watcher> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
