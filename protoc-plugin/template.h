// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace nearcall::plugin {

// What stands for each `$name$` of a template.
using Values = std::map<std::string, std::string>;

// The text that a template stands for. A template is a raw string that looks like its output:
//
//   Fill(R"(
//     $comment$
//     class $Name$ {
//       $members$
//     };
//   )", {{"comment", ""}, {"Name", "Echo"}, {"members", "int a;\nint b;"}})
//
// The line break after `R"(` is no part of it. A `$name$` alone on its line is a block: each line of its value gets the
// indentation of the place, line breaks at its end do not count, and an empty one takes away its line and a blank line
// behind it. Elsewhere a value must be of one line. A name without a value is a bug of this program and ends it.
std::string Fill(absl::string_view text, const Values& values);

}  // namespace nearcall::plugin
