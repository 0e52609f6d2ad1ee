// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "outcome.h"

namespace nearcall::tools {

// Of a call of nearcall.stats.v1.Stats, with a reason where the server does not have it.
inline absl::Status ExplainStats(const absl::Status& status) {
  if (!absl::IsUnimplemented(status)) return status;
  return absl::UnimplementedError(
      "the server does not tell what it counts: ServerOptions::stats is false, or it was built with an older version");
}

inline Outcome OfStats(const absl::Status& status) {
  if (!absl::IsUnimplemented(status)) return Outcome::OfCall(status);
  return Outcome::Because(kUnknownSymbol, std::string(ExplainStats(status).message()));
}

}  // namespace nearcall::tools
