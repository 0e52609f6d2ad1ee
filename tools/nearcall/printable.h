// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace nearcall::tools {

// What a peer says, fit for a terminal: control characters, those that turn the direction of the text, and bytes that
// are no UTF-8 are shown as "\n", "\x1b". All else, quotes too, is as it came.
std::string Printable(absl::string_view text);

}  // namespace nearcall::tools
