// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "nearcall/stats/v1/stats.pb.h"
#include "table.h"

namespace nearcall::tools {

// Calls that are over, a line for each, as they come: for people in columns, for programs in fields between tabs.
class TraceLines {
 public:
  explicit TraceLines(const Look& look) : look_(look) {}

  // Above all others; nothing for programs.
  std::string Head() const;
  std::string Of(const stats::v1::Call& call);
  // In the place of so many.
  std::string Dropped(uint64_t count) const;

 private:
  const std::string& UserOf(uint64_t uid);

  const Look look_;
  std::map<uint64_t, std::string> users_;  // that were looked up
};

}  // namespace nearcall::tools
