// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nearcall/channel.h"

namespace nearcall::tools {

// Where descriptions of services come from: the server itself (reflection), or files.
class Schema {
 public:
  // `deadline`: of all that the server is asked.
  static std::unique_ptr<Schema> OfServer(std::shared_ptr<Channel> channel, absl::Time deadline);
  // `protosets`: made by `protoc --descriptor_set_out=F --include_imports`. `protos`: sources, found below
  // `import_paths`.
  static absl::StatusOr<std::unique_ptr<Schema>> OfFiles(const std::vector<std::string>& protosets,
                                                         const std::vector<std::string>& protos,
                                                         const std::vector<std::string>& import_paths);

  virtual ~Schema() = default;

  virtual absl::StatusOr<std::vector<std::string>> Services() = 0;

  // NOT_FOUND; or why the server could not be asked.
  absl::StatusOr<const google::protobuf::ServiceDescriptor*> FindService(const std::string& name);
  // "package.Service/Method", or with a dot in place of the slash.
  absl::StatusOr<const google::protobuf::MethodDescriptor*> FindMethod(const std::string& name);
  // As the text of a .proto file: a service, method, message, enum, field, extension or file.
  absl::StatusOr<std::string> Describe(const std::string& symbol);

 protected:
  virtual const google::protobuf::DescriptorPool& pool() = 0;
  // Why something was not found that there may be; OK: there is none.
  virtual absl::Status failure() { return absl::OkStatus(); }
  // What else there is to say of it.
  virtual std::string hint() { return ""; }

 private:
  absl::Status NotFound(const char* what, const std::string& name);
};

}  // namespace nearcall::tools
