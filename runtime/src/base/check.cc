// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace nearcall::base {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "nearcall: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace nearcall::base
