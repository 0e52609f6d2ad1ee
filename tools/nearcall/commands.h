// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "outcome.h"
#include "settings.h"

namespace nearcall::tools {

// Each writes what was asked for to standard output, and hands back how it has ended.

// All servers that this user can reach.
Outcome ListServers(const Settings& settings);
// Of one of them, or of files: its services, or the methods of one.
Outcome ListServices(const Settings& settings);
Outcome Describe(const Settings& settings);
Outcome Call(const Settings& settings);
Outcome Ping(const Settings& settings);
// What a server counts, or all of them, again and again.
Outcome Stat(const Settings& settings);
// Calls of a server, each when it is over, until the user ends it.
Outcome Trace(const Settings& settings);
// Calls one method as fast, or as often, as is asked for, and tells how long that takes.
Outcome Bench(const Settings& settings);

}  // namespace nearcall::tools
