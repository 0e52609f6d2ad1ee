// SPDX-License-Identifier: Apache-2.0
#include "transport/carries_descriptors.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

absl::Status CarriesDescriptors(absl::string_view transport) {
  const TransportRow* const named = FindTransport(transport);
  if (named == nullptr || !named->has(kNoDescriptors)) return absl::OkStatus();
  std::string others;
  for (const TransportRow& row : Transports()) {
    if (!row.has(kNoDescriptors)) absl::StrAppend(&others, others.empty() ? "" : ", ", row.name);
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the ", transport, " transport carries no descriptors; those that do are ", others));
}

}  // namespace nearcall::transport
