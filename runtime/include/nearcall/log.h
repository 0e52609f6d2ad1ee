// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"

namespace nearcall {

enum class LogSeverity : uint8_t { kInfo, kWarning, kError };

// Takes the few lines that the runtime logs: a violation by a peer, a limit reached, a server that cannot end. One
// line, no newline at its end; ten a second for each kind and each user who can cause them. Called by a thread of its
// server or channel that does nothing else, one line after the other, so it may block and may call back: meanwhile up
// to 128 lines wait, further ones are left out, and the next one says how many. Must not throw. The end of the server
// or channel waits a second for the last lines, and for a line that the sink is just given as long as that takes; from
// within the sink it waits for nothing. An empty sink means standard error, which never holds up anybody. With an
// EventQueue the sink is called in EventQueue::Run(), which it holds up as long as it takes.
using LogSink = std::function<void(LogSeverity severity, absl::string_view line)>;

}  // namespace nearcall
