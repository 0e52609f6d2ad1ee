// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/strings/string_view.h"

// Words that mean something already wherever generated code is included.
namespace nearcall::plugin {

// Of C++20.
bool IsKeyword(absl::string_view word);

// A keyword that protobuf 3.21 does not know, and so does not rename as it does the others (`delete` to `delete_`).
bool IsKeywordUnknownToProtobuf(absl::string_view word);

// A macro, or a word that compilers may make one: of the headers that generated code includes and of the standard
// library's, and what is reserved by a prefix.
bool IsMacro(absl::string_view word);

// A macro that needs no parenthesis behind it: nothing at all can have this name.
bool IsObjectMacro(absl::string_view word);

// A type or a namespace of the same headers, as protobuf would name it: "tm", "nearcall", "nearcall.Channel". Of the
// global namespace and of those of Nearcall, Abseil and the standard library.
bool IsLibraryType(absl::string_view full_name);

// One of the global namespaces that generated code names: "std".
bool IsLibraryNamespace(absl::string_view word);

}  // namespace nearcall::plugin
