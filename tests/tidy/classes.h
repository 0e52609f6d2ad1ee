// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace nearcall::tidy {

struct Class {
  std::string name;
  size_t first_line;  // of its declaration, from 1
  size_t methods;     // that it declares, and that classes within it do: constructors too, but none that is deleted
};

// The classes and structs that `text` defines. A heuristic that matches braces: what stands in a class, and holds a
// parameter list, is a method.
std::vector<Class> FindClasses(absl::string_view text);

}  // namespace nearcall::tidy
