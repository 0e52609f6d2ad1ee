// SPDX-License-Identifier: Apache-2.0
#include "schema.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace nearcall::tools {

using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

absl::Status Schema::NotFound(const char* what, const std::string& name) {
  if (absl::Status why = failure(); !why.ok()) return why;
  return absl::NotFoundError(absl::StrCat("there is no ", what, " ", name, hint()));
}

absl::StatusOr<const ServiceDescriptor*> Schema::FindService(const std::string& name) {
  const ServiceDescriptor* const service = pool().FindServiceByName(name);
  if (service != nullptr) return service;
  return NotFound("service", name);
}

absl::StatusOr<const MethodDescriptor*> Schema::FindMethod(const std::string& name) {
  std::string dotted = name.substr(name.find_first_not_of('/') == std::string::npos ? 0 : name.find_first_not_of('/'));
  std::replace(dotted.begin(), dotted.end(), '/', '.');
  const MethodDescriptor* const method = pool().FindMethodByName(dotted);
  if (method != nullptr) return method;
  return NotFound("method", name);
}

absl::StatusOr<std::string> Schema::Describe(const std::string& symbol) {
  std::string name = symbol;
  std::replace(name.begin(), name.end(), '/', '.');
  const DescriptorPool& known = pool();
  if (const auto* service = known.FindServiceByName(name)) return service->DebugString();
  if (const auto* method = known.FindMethodByName(name)) return method->DebugString();
  if (const auto* message = known.FindMessageTypeByName(name)) return message->DebugString();
  if (const auto* enumeration = known.FindEnumTypeByName(name)) return enumeration->DebugString();
  if (const auto* field = known.FindFieldByName(name)) return field->DebugString();
  if (const auto* extension = known.FindExtensionByName(name)) return extension->DebugString();
  if (const auto* file = known.FindFileByName(symbol)) return file->DebugString();
  return NotFound("service, method, message or enum", symbol);
}

}  // namespace nearcall::tools
