// SPDX-License-Identifier: Apache-2.0

// Addresses, as they come from command lines and configuration.
#include <string>

#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "transport/address.h"

namespace nearcall::fuzz {

void Run(Input input) {
  const std::span<const std::byte> bytes = input.TakeBytes(input.size());
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto address = transport::ParseAddress(text);
  if (address.ok()) NEARCALL_CHECK(transport::ParseAddress(address->text).ok());
}

}  // namespace nearcall::fuzz
