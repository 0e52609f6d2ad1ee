// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/fd.h"
#include "base/mutex.h"

namespace nearcall::rpc {

// Connected sockets that a door is given to serve, until it is closed.
//
// Thread-safe.
class DoorMail {
 public:
  // False: it is closed.
  bool Put(base::Fd socket) {
    base::MutexLock lock(mutex_);
    if (closed_) return false;
    sockets_.push_back(std::move(socket));
    unbegun_.fetch_add(1, std::memory_order_seq_cst);
    return true;
  }

  // Nobody comes in afterwards.
  void Close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
  }

  struct Contents {
    std::vector<base::Fd> sockets;
    bool closed;
  };
  // What there is. Each counts until NoteBegun().
  Contents Take() {
    base::MutexLock lock(mutex_);
    return {.sockets = std::exchange(sockets_, {}), .closed = closed_};
  }
  void NoteBegun(size_t count) { unbegun_.fetch_sub(count, std::memory_order_seq_cst); }

  // How many are here, or just being begun.
  size_t unbegun() const { return unbegun_.load(std::memory_order_seq_cst); }

 private:
  std::atomic<size_t> unbegun_{0};

  base::Mutex mutex_;
  std::vector<base::Fd> sockets_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace nearcall::rpc
