// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/batch.h"
#include "bench/subject.h"

namespace nearcall::bench {

// Keeps batch.in_flight asynchronous calls going: whoever has its answer starts the next one, where the answer came.
BatchResult RunInFlight(Subject& subject, const Batch& batch);

}  // namespace nearcall::bench
