#pragma once

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"

namespace nearcall {

enum class LogSeverity : uint8_t { kInfo, kWarning, kError };

// Takes the few lines that the runtime logs: a violation by a peer, a limit reached, a server's start and end. One
// line, no newline at its end, rate-limited. Called from any thread, never under a lock of the runtime; must be
// thread-safe and must not throw. An empty sink means standard error.
using LogSink = std::function<void(LogSeverity severity, absl::string_view line)>;

}  // namespace nearcall
