// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// Why nothing can be generated from `file`, one "file:line: message" each, in the order of the file, then of its
// imports; empty if it can.
std::vector<std::string> ProblemsOf(const google::protobuf::FileDescriptor& file);

}  // namespace nearcall::plugin
