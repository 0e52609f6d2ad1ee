// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// Why the C++ header that protobuf makes of `file` itself does not compile beside ours, as "file:line: message"; its
// imports are not looked at. protobuf renames the keywords that it knows, which are those of C++11, and in messages,
// fields and values only.
std::vector<std::string> ProblemsOfHeader(const google::protobuf::FileDescriptor& file);

}  // namespace nearcall::plugin
