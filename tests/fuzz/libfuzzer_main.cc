// SPDX-License-Identifier: Apache-2.0

// What libFuzzer calls.
#include "fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nearcall::fuzz::Run({data, size});
  return 0;
}
