#include "base/log.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::base {

namespace {

void WriteToStderr(LogSeverity severity, absl::string_view line) {
  static constexpr const char* kNames[] = {"info", "warning", "error"};
  const std::string text = absl::StrCat("nearcall: ", kNames[static_cast<int>(severity)], ": ", line, "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

void Logger::Log(LogSeverity severity, absl::string_view line, SteadyNs now) {
  SteadyNs start = window_start_.load(std::memory_order_relaxed);
  if (now - start >= 1'000'000'000 && window_start_.compare_exchange_strong(start, now, std::memory_order_relaxed)) {
    lines_in_window_.store(0, std::memory_order_relaxed);
  }
  if (lines_in_window_.fetch_add(1, std::memory_order_relaxed) >= kMaxLogLinesPerSecond) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const uint64_t suppressed = suppressed_.exchange(0, std::memory_order_relaxed);
  const std::string text =
      suppressed == 0 ? std::string(line) : absl::StrCat(line, " (", suppressed, " lines left out before this one)");
  if (sink_) {
    sink_(severity, text);
  } else {
    WriteToStderr(severity, text);
  }
}

}  // namespace nearcall::base
