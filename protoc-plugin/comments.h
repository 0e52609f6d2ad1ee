// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// The lines of a comment as protoc hands it over, each as a `//` comment; empty for an empty comment. Nothing in it can
// reach the code behind it, or make it look like something else.
std::string CommentLines(absl::string_view text);

// `text` with what an editor would obey instead of showing it written out, as "<U+202E>": control characters other than
// a tab, and those that turn the direction of text. What is no UTF-8 becomes U+FFFD.
std::string Visible(absl::string_view text);

// What stands in the `.proto` over (and behind) a service or a method, as C++ comment lines.
template <typename Descriptor>
std::string CommentOf(const Descriptor& descriptor) {
  google::protobuf::SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return "";
  return CommentLines(location.leading_comments) + CommentLines(location.trailing_comments);
}

}  // namespace nearcall::plugin
