// SPDX-License-Identifier: Apache-2.0
#include "top.nearcall.pb.h"

absl::StatusOr<user::Word> Go(const user::Top::Stub& stub) {
  return stub.Go({});
}
