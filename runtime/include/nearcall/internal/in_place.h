// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/base/config.h"
#include "absl/utility/utility.h"

namespace nearcall::internal {

// The tag with which a StatusOr makes its value where it stands: the standard's. Abseil had one of its own, which it
// deprecates now.
#if defined(ABSL_LTS_RELEASE_VERSION) && ABSL_LTS_RELEASE_VERSION < 20250512
inline constexpr absl::in_place_t kInPlace{};
#else
inline constexpr std::in_place_t kInPlace{};
#endif

}  // namespace nearcall::internal
