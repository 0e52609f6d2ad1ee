// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/admission.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quota.h"

namespace nearcall::rpc {

namespace {

base::Amount DescriptorsOfAConnection(const ServerCore& core) {
  return base::Amount::Of(base::kDescriptorsPerConnection + (core.offers_side_socket() ? 1 : 0));
}

}  // namespace

absl::Status Admission::Admit(uid_t uid) {
  // A successor may have its name already.
  if (core_.draining.load(std::memory_order_acquire)) return absl::CancelledError("the server is shutting down");
  base::MutexLock lock(mutex_);
  size_t& connections = connections_[uid];
  if (connections >= core_.options.max_connections_per_uid) {
    return absl::ResourceExhaustedError(
        absl::StrCat("user ", uid, " has ", connections,
                     " connections to this server, as many as ServerOptions::max_connections_per_uid allows"));
  }
  const std::shared_ptr<base::Account> account = core_.quota->AccountOf(uid);
  if (!account->descriptors.TryTake(DescriptorsOfAConnection(core_))) return account->DescriptorRefusal();
  ++connections;
  return absl::OkStatus();
}

void Admission::Leave(uid_t uid) {
  base::MutexLock lock(mutex_);
  const auto found = connections_.find(uid);
  if (found == connections_.end()) return;
  core_.quota->AccountOf(uid)->descriptors.Give(DescriptorsOfAConnection(core_));
  if (--found->second == 0) connections_.erase(found);
}

}  // namespace nearcall::rpc
