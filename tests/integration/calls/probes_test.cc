// SPDX-License-Identifier: Apache-2.0
#include "base/probes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace nearcall::integration {
namespace {

// A tracer finds each by its provider and name, in a note of the program.
TEST(ProbesTest, AreThereByTheirNames) {
#ifndef NEARCALL_HAS_PROBES
  GTEST_SKIP() << "NOT TESTED: there is no <sys/sdt.h>";
#else
  std::stringstream program;
  program << std::ifstream("/proc/self/exe").rdbuf();
  for (const char* probe : {"server_call_start", "server_call_end", "client_call_start", "client_call_end", "wake"}) {
    const std::string note = std::string("nearcall").append(1, '\0').append(probe).append(1, '\0');
    EXPECT_NE(program.str().find(note), std::string::npos) << probe;
  }
#endif
}

}  // namespace
}  // namespace nearcall::integration
