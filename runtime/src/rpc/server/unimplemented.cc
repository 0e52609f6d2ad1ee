// SPDX-License-Identifier: Apache-2.0
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nearcall/internal/unary.h"

namespace nearcall::internal {

absl::Status Unimplemented(const MethodInfo& method) {
  return absl::UnimplementedError(absl::StrCat(method.full_name, " is not implemented by this server"));
}

}  // namespace nearcall::internal
