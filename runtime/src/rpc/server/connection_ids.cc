// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/connection_ids.h"

namespace nearcall::rpc {

ConnectionIds::LeasePtr ConnectionIds::Take() {
  const uint32_t id = TakeNumber();
  try {
    return std::make_shared<const Lease>(*this, id);
  } catch (...) {
    GiveBack(id);
    throw;
  }
}

uint32_t ConnectionIds::TakeNumber() {
  base::MutexLock lock(mutex_);
  for (;;) {
    const uint32_t id = next_;
    next_ = id == last_ ? 1 : id + 1;
    if (taken_.insert(id).second) return id;
  }
}

void ConnectionIds::GiveBack(uint32_t id) {
  if (fork_guard_.InChild()) return;  // a thread of the parent may have held the lock
  base::MutexLock lock(mutex_);
  taken_.erase(id);
}

}  // namespace nearcall::rpc
