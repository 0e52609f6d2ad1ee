// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/contender.h"
#include "bench/journal.h"

namespace nearcall::bench {

// What a measurement is called.
struct Title {
  std::string section;
  std::string variant;
};

// Lets the contenders do the batch in turn, again and again, each time in another order: A B C C A B ... Nobody always
// comes after the same one. One measurement for each. Those that `leave_out` names take no part.
std::vector<Measurement> Alternate(Contenders& contenders, const Title& title, const Batch& batch, int repetitions,
                                   const std::function<bool(const Contender&)>& leave_out = {});

}  // namespace nearcall::bench
