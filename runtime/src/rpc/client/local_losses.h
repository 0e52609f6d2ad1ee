// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace nearcall::rpc {

// One-way calls of Capacity::kLocal that a channel has kept and could not deliver: their callers have gone on. Counts
// them, and tells the log. Thread-safe. Owned by the channel and by its calls.
class LocalLosses {
 public:
  explicit LocalLosses(std::shared_ptr<base::Logger> logger) : logger_(std::move(logger)) {}

  void Note(const char* method, const absl::Status& why) {
    count_.fetch_add(1, std::memory_order_relaxed);
    logger_->Log({}, LogSeverity::kWarning, absl::StrCat("a one-way call of ", method, " is lost: ", why.ToString()));
  }

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  const std::shared_ptr<base::Logger> logger_;
  std::atomic<uint64_t> count_{0};
};

}  // namespace nearcall::rpc
