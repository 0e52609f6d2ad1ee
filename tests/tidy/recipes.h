// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rules.h"

namespace nearcall::tidy {

// What makes packages of the project (debian/, packaging/vcpkg, packaging/conan) says the same as CMakeLists.txt and
// cmake/: the version, which options there are, what the library is built on. None knows an address to fetch from.
Problems RecipesAgree(const std::vector<SourceFile>& files);

}  // namespace nearcall::tidy
