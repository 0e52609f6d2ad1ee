#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "nearcall/log.h"

namespace nearcall::base {

// Hands lines to the user's sink (or standard error), at most kMaxLogLinesPerSecond of them; says how many it left out.
// Thread-safe.
class Logger {
 public:
  explicit Logger(LogSink sink = {}) : sink_(std::move(sink)) {}

  void Log(LogSeverity severity, absl::string_view line, SteadyNs now = NowNs());

 private:
  const LogSink sink_;
  std::atomic<SteadyNs> window_start_{0};
  std::atomic<uint32_t> lines_in_window_{0};
  std::atomic<uint64_t> suppressed_{0};
};

}  // namespace nearcall::base
