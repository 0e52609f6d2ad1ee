// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// `file`, and each file whose C++ header comes with that of `file`: what it imports, what that imports, and so on.
std::vector<const google::protobuf::FileDescriptor*> WithImports(const google::protobuf::FileDescriptor& file);

// Whether what `other` declares can be named in `file`: it imports `other`, or what imports `other` publicly.
bool Sees(const google::protobuf::FileDescriptor& file, const google::protobuf::FileDescriptor& other);

}  // namespace nearcall::plugin
