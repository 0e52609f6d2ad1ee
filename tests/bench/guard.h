#pragma once

namespace nearcall::bench {

// Some seconds that tell whether a way through Nearcall costs a multiple of what it stands on. The least of many
// repetitions counts for a call, so that other processes do not. Non-zero: it does.
int RunGuard();

}  // namespace nearcall::bench
