// SPDX-License-Identifier: Apache-2.0
#include "rpc/standard/health_states.h"

#include <utility>

namespace nearcall::rpc {

HealthStates::Watcher::Watcher(HealthStates& states, std::string service, internal::ServerStream& stream)
    : states_(states), service_(std::move(service)), stream_(stream) {
  base::MutexLock lock(states_.mutex_);
  states_.watchers_.PushBack(*this);
}

HealthStates::Watcher::~Watcher() {
  base::MutexLock lock(states_.mutex_);
  Unlink();
}

void HealthStates::Set(absl::string_view service, bool serving) {
  base::MutexLock lock(mutex_);
  set_[std::string(service)] = serving;
  // SUBTLE: under the lock, without which a watcher, and its stream, could go meanwhile.
  watchers_.ForEachUntil([service](Watcher& watcher) {
    if (watcher.service_ == service) watcher.stream_.TellNews();
    return false;
  });
}

HealthStates::State HealthStates::Get(const std::string& service) const {
  base::MutexLock lock(mutex_);
  const auto found = set_.find(service);
  if (found != set_.end()) {
    return found->second ? wire::health::HealthCheckResponse::SERVING : wire::health::HealthCheckResponse::NOT_SERVING;
  }
  return service.empty() || services_.Has(service) ? wire::health::HealthCheckResponse::SERVING
                                                   : wire::health::HealthCheckResponse::SERVICE_UNKNOWN;
}

}  // namespace nearcall::rpc
