// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace nearcall::integration {

// How a scenario has gone.
struct ScenarioEnd {
  bool succeeded = false;  // no part has failed
  std::string wrong = {};  // what must not be even if a part fails: a call that has not ended once, or was lost
};

// Makes what a program brings along: its own allocations are not ours.
void PrepareScenario();

// The life of a server and of a client of it, both in this process: start, connect, calls of every kind, hang up, shut
// down. A part that fails with a status ends it.
ScenarioEnd RunScenario();

}  // namespace nearcall::integration
