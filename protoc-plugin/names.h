// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>

#include "google/protobuf/descriptor.h"

// The C++ names of what stands in a `.proto`. For messages and namespaces protobuf's own generator decides.
namespace nearcall::plugin {

// "dir/echo" of "dir/echo.proto".
std::string BaseName(const google::protobuf::FileDescriptor& file);

// "demo::v1"; empty for a file without a package.
std::string Namespace(const google::protobuf::FileDescriptor& file);

// "::demo::v1::Outer_Inner"
std::string MessageName(const google::protobuf::Descriptor& message);

// The names that are ours, of the services of a file and of their methods: "Echo", "delete_". One that means something
// else, or that something else has in the same place, gets `_` behind it until it is free; who can keep his name does,
// whatever the order. On the wire everything keeps the name of the `.proto`. Refers to the file, which outlives it.
class Names {
 public:
  explicit Names(const google::protobuf::FileDescriptor& file);

  const std::string& Of(const google::protobuf::ServiceDescriptor& service) const { return services_.at(&service); }

  // Of the class that mocks it: "MockEcho".
  const std::string& MockOf(const google::protobuf::ServiceDescriptor& service) const { return mocks_.at(&service); }

  // The same in each class of the service.
  const std::string& Of(const google::protobuf::MethodDescriptor& method) const { return methods_.at(&method); }

 private:
  // And those of the files of its package that `file` imports.
  void NameServices(const google::protobuf::FileDescriptor& file);
  void NameMocks(const google::protobuf::FileDescriptor& file, std::set<std::string> taken);

  std::set<const google::protobuf::FileDescriptor*> named_;
  std::map<const google::protobuf::ServiceDescriptor*, std::string> services_;
  std::map<const google::protobuf::ServiceDescriptor*, std::string> mocks_;
  std::map<const google::protobuf::MethodDescriptor*, std::string> methods_;
};

}  // namespace nearcall::plugin
