// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace nearcall::transport {

// What broke a transport for good: the first thing that the peer did and must not do, or that the kernel refused.
// Thread-safe: reader and writer may both find one.
class Fault {
 public:
  // The transport's name, which outlives this.
  explicit Fault(absl::string_view transport) : transport_(transport) {}

  bool found() const { return found_.load(std::memory_order_acquire); }

  // What the peer did.
  void Report(absl::string_view what) {
    Report(absl::InternalError(absl::StrCat(transport_, ": the peer broke the protocol: ", what)));
  }

  void Report(absl::Status error) {
    base::MutexLock lock(mutex_);
    if (!error_.ok()) return;
    error_ = std::move(error);
    found_.store(true, std::memory_order_release);
  }

  absl::Status error() const {
    base::MutexLock lock(mutex_);
    return error_;
  }

 private:
  const absl::string_view transport_;
  mutable base::Mutex mutex_;
  std::atomic<bool> found_{false};
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::transport
