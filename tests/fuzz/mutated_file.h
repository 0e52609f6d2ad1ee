// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fuzz/fuzz_input.h"
#include "google/protobuf/descriptor.pb.h"

namespace nearcall::fuzz {

// A file with messages, enums and services, as protoc hands it to a plugin, after the steps that `script` says. Most of
// what comes out is what protoc would let through; some of it is not.
google::protobuf::FileDescriptorProto MutatedFile(Input& script);

}  // namespace nearcall::fuzz
