// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bench/conditions.h"
#include "bench/journal.h"
#include "bench/plan.h"
#include "bench/targets.h"

namespace nearcall::bench {

struct OutputFiles {
  std::string json;          // a file; empty: none
  std::string picture_data;  // a directory; empty: none
};

void WriteOutputs(const OutputFiles& files, const Plan& plan, const Journal& journal,
                  const std::vector<Target>& targets, const Conditions& conditions);

}  // namespace nearcall::bench
