// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_connections.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace nearcall::rpc {

bool AsyncConnections::Start(const std::shared_ptr<AsyncCall>& call) {
  CallsPtr refused;
  while (CallsPtr calls = Present(refused.get())) {
    const AsyncCalls::Started started = calls->Start(call);
    if (started == AsyncCalls::Started::kNoThread || started == AsyncCalls::Started::kRefused) return false;
    if (started != AsyncCalls::Started::kElsewhere) return true;
    refused = std::move(calls);
  }
  return false;
}

// Those of a present connection, others than `refused`, if that is not null; nullptr: there are no more.
AsyncConnections::CallsPtr AsyncConnections::Present(const AsyncCalls* refused) {
  const Servers::SessionPtr session = servers_.shared() ? servers_.present() : nullptr;
  std::vector<CallsPtr> ended;
  CallsPtr present;
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return nullptr;
    if (auto found = Find(refused, session)) return found;
    const auto first_ended = std::stable_partition(connections_.begin(), connections_.end(),
                                                   [](const auto& calls) { return !calls->finished(); });
    std::move(first_ended, connections_.end(), std::back_inserter(ended));
    connections_.erase(first_ended, connections_.end());
    present = connections_.emplace_back(std::make_shared<AsyncCalls>(owner_, options_, reactor_, logger_,
                                                                     servers_.shared() ? session : servers_.present()));
  }
  for (const CallsPtr& calls : ended) calls->Stop();
  return present;
}

AsyncConnections::CallsPtr AsyncConnections::Find(const AsyncCalls* refused, const Servers::SessionPtr& session) {
  if (!servers_.shared()) {
    return !connections_.empty() && connections_.back().get() != refused ? connections_.back() : nullptr;
  }
  const auto found = std::find_if(connections_.rbegin(), connections_.rend(), [&](const auto& calls) {
    return calls.get() != refused && calls->session() == session;
  });
  return found != connections_.rend() ? *found : nullptr;
}

void AsyncConnections::Stop() {
  std::vector<CallsPtr> all;
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
    all.swap(connections_);
  }
  for (const CallsPtr& calls : all) calls->Stop();
}

}  // namespace nearcall::rpc
