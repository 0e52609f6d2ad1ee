// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "transport/transport_table.h"

// The tests are the same for every transport; NEARCALL_TEST_TRANSPORT names the one of this run. Unset: the best.
namespace nearcall::integration {

// Ends the program if there is no transport of that name.
const transport::TransportRow& TransportUnderTest();

inline absl::string_view TransportName() {
  return TransportUnderTest().name;
}

// Where a name (or an absolute path) is reached over that transport: "shm:echo".
std::string Address(absl::string_view name = "echo");

}  // namespace nearcall::integration
