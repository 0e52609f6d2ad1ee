#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// The lines of a comment as protoc hands it over, each as a `//` comment; empty for an empty comment. Nothing in it can
// reach the code behind it.
std::string CommentLines(absl::string_view text);

// What stands in the `.proto` over (and behind) a service or a method, as C++ comment lines.
template <typename Descriptor>
std::string CommentOf(const Descriptor& descriptor) {
  google::protobuf::SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return "";
  return CommentLines(location.leading_comments) + CommentLines(location.trailing_comments);
}

}  // namespace nearcall::plugin
