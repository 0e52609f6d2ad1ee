// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"

// Where something stands, as every message about it begins: "dir/echo.proto:7: ".
namespace nearcall::plugin {

inline std::string At(const google::protobuf::FileDescriptor& file, bool known,
                      const google::protobuf::SourceLocation& location) {
  return known ? absl::StrCat(file.name(), ":", location.start_line + 1, ": ") : absl::StrCat(file.name(), ": ");
}

template <typename Descriptor>
std::string At(const Descriptor& descriptor) {
  google::protobuf::SourceLocation location;
  const bool known = descriptor.GetSourceLocation(&location);
  return At(*descriptor.file(), known, location);
}

// Of an element that has no descriptor, by its path in the FileDescriptorProto.
inline std::string AtFileElement(const google::protobuf::FileDescriptor& file, const std::vector<int>& path) {
  google::protobuf::SourceLocation location;
  const bool known = file.GetSourceLocation(path, &location);
  return At(file, known, location);
}

}  // namespace nearcall::plugin
