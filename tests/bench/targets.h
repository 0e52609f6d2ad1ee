// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/journal.h"

namespace nearcall::bench {

// One line of the table of targets. What does not exist has none: row 17 is for streaming.
struct Target {
  enum class State { kNotMeasured, kMissed, kMet, kAimed };

  int row;
  std::string what;
  std::string unit;
  bool at_least = false;  // else at most
  std::optional<double> measured = {};
  std::optional<double> must = {};
  std::optional<double> aim = {};
  std::string remark = {};

  State state() const;
};

std::string ToString(Target::State state);

// All rows, or those that `rows` names, from what has been measured. `near`: see Conditions.
std::vector<Target> Judge(const Journal& journal, bool near, const std::set<int>& rows);

void Print(const std::vector<Target>& targets);

}  // namespace nearcall::bench
