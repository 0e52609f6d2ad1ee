// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace nearcall {

// The four lanes of a connection. A frame of a higher lane overtakes every waiting frame of a lower one, on the sending
// and on the serving side; within a lane messages start in order. A lane that has waited for 50 ms has one turn before
// the higher ones (ageing), but never before kUrgent: what is urgent all the time starves the rest. A running handler
// is never interrupted.
//
// A method's default comes from its `.proto` (`option (nearcall.priority) = HIGH;`), CallOptions::priority overrides
// it, ServerOptions::max_priority caps it.
enum class Priority : uint8_t {
  kLow = 0,
  kNormal = 1,
  kHigh = 2,
  kUrgent = 3,
};

}  // namespace nearcall
