// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/subject.h"

namespace nearcall::bench {

// The process that calls: does the batches that it reads from standard input, and writes what came out, until its input
// ends. First it makes one call, and says which process is at the other end.
void RunCaller(const SubjectParams& params);

}  // namespace nearcall::bench
