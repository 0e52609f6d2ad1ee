// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <relacy/relacy.hpp>

namespace nearcall::models {

// All executions of a Relacy test: every interleaving of its threads, and every value that C++11 lets a load see. Says
// how many there are, or shows the first that is wrong. The exit status of a model's main().
//
// `switches`: only interleavings in which a thread that could go on is stopped so often at most, where all are too
// many.
template <typename Test>
int Search(unsigned switches = 0) {
  std::ostream nowhere(nullptr);
  rl::test_params params;
  params.search_type = switches == 0 ? rl::sched_full : rl::sched_bound;
  params.context_bound = switches;
  params.progress_stream = &nowhere;
  return rl::simulate<Test>(params) ? 0 : 1;
}

}  // namespace nearcall::models
