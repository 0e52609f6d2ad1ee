// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace nearcall::tools {

// Calls `ask` with each number below `count`, of many at once, and waits for all: one server that hangs does not hold
// up the others. `ask` is called on several threads.
void AskAll(size_t count, const std::function<void(size_t)>& ask);

// How long one of many may take, and never beyond `end`.
absl::Time PatienceUntil(absl::Time end);

// What stands in a table in place of an answer.
std::string WhyNoAnswer(const absl::Status& status);

}  // namespace nearcall::tools
