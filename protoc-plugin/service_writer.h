// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "google/protobuf/descriptor.h"

// What is generated, as text. `file` has no problems (problems.h).
namespace nearcall::plugin {

// x.nearcall.pb.h
std::string HeaderText(const google::protobuf::FileDescriptor& file);

// x.nearcall.pb.cc
std::string SourceText(const google::protobuf::FileDescriptor& file);

// x.nearcall.mock.h
std::string MockText(const google::protobuf::FileDescriptor& file);

}  // namespace nearcall::plugin
