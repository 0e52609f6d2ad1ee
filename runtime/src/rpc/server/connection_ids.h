// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "base/fork.h"
#include "base/mutex.h"

namespace nearcall::rpc {

// The numbers of a server's connections, of which no two that live have the same: they count up to `last`, begin again
// at 1, and step over those that are taken. Thread-safe; outlives what it has given.
class ConnectionIds {
 public:
  // A number, taken until this is destroyed.
  class Lease {
   public:
    Lease(ConnectionIds& ids, uint32_t id) : ids_(ids), id_(id) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { ids_.GiveBack(id_); }
    uint32_t id() const { return id_; }

   private:
    ConnectionIds& ids_;
    const uint32_t id_;
  };
  using LeasePtr = std::shared_ptr<const Lease>;

  // `last`: more than there can be connections. Tests have small ones.
  explicit ConnectionIds(uint32_t last = std::numeric_limits<uint32_t>::max()) : last_(last) {}
  ConnectionIds(const ConnectionIds&) = delete;
  ConnectionIds& operator=(const ConnectionIds&) = delete;

  LeasePtr Take();

 private:
  uint32_t TakeNumber();
  void GiveBack(uint32_t id);

  const base::ForkGuard fork_guard_;
  const uint32_t last_;
  base::Mutex mutex_;
  uint32_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::set<uint32_t> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
