#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

// The C++ names of what stands in a `.proto`. A name of ours (of a service, of a method) that means something else in
// C++ or in the generated class gets a `_` behind it; on the wire everything keeps the name of the `.proto`. For
// messages and namespaces protobuf's own generator decides.
namespace nearcall::plugin {

// "dir/echo" of "dir/echo.proto".
std::string BaseName(const google::protobuf::FileDescriptor& file);

// "demo::v1"; empty for a file without a package.
std::string Namespace(const google::protobuf::FileDescriptor& file);

// "::demo::v1::Outer_Inner"
std::string MessageName(const google::protobuf::Descriptor& message);

// "Echo", "delete_"
std::string ServiceName(const google::protobuf::ServiceDescriptor& service);

// "Say", "delete_"; the same in each class of the service.
std::string MethodName(const google::protobuf::MethodDescriptor& method);

// Of C++20. protobuf renames a message that has one of the older ones, but no other message and no namespace.
bool IsKeyword(absl::string_view identifier);

}  // namespace nearcall::plugin
