// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace nearcall::tidy {

struct Function {
  size_t first_line;  // of its declaration, from 1
  size_t lines;
};

// The functions that `text` defines, tests included; a lambda belongs to the function around it. A heuristic that
// matches braces: at the level of namespaces and classes, a block whose head holds a parameter list is a function.
std::vector<Function> FindFunctions(absl::string_view text);

}  // namespace nearcall::tidy
