// SPDX-License-Identifier: Apache-2.0
#include "transport_under_test.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"

namespace nearcall::integration {

const transport::TransportRow& TransportUnderTest() {
  static const transport::TransportRow* const row = [] {
    const char* name = std::getenv("NEARCALL_TEST_TRANSPORT");
    return name == nullptr ? &transport::Transports().front() : transport::FindTransport(name);
  }();
  if (row != nullptr) return *row;
  std::cerr << "NEARCALL_TEST_TRANSPORT names no transport\n";
  std::exit(2);
}

absl::string_view SocketTransportName() {
  return TransportUnderTest().MeetsAtSocket() ? TransportName() : transport::Transports().front().name;
}

std::string Address(absl::string_view name) {
  return absl::StrCat(TransportName(), ":", name);
}

}  // namespace nearcall::integration
