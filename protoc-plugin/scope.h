// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "google/protobuf/descriptor.h"

namespace nearcall::plugin {

// The C++ names that are given away already in the namespace of `file`: what protobuf makes there of this file and of
// what it imports, types, generic services, and namespaces within.
std::set<std::string> NamesBesideServices(const google::protobuf::FileDescriptor& file);

// Those among them that protobuf makes of messages and enums.
std::set<std::string> NamesOfTypes(const google::protobuf::FileDescriptor& file);

// Whether protobuf generates classes of its own for the services of `file`: X and X_Stub.
bool HasGenericServices(const google::protobuf::FileDescriptor& file);

}  // namespace nearcall::plugin
