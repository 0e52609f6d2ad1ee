// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace nearcall::bench {

// Some seconds that tell whether a way through Nearcall costs a multiple of what it stands on; on a machine that does
// nothing else, whether it costs half as much again as it may. Non-zero: it does.
int RunGuard();

}  // namespace nearcall::bench
