// SPDX-License-Identifier: Apache-2.0
#include "scope.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/protobuf/compiler/cpp/names.h"
#include "google/protobuf/descriptor.pb.h"
#include "imports.h"

namespace nearcall::plugin {

namespace cpp = ::google::protobuf::compiler::cpp;
namespace pb = ::google::protobuf;

namespace {

using NameSet = std::set<std::string>;

void AddMessage(const pb::Descriptor& message, NameSet& names) {
  const std::string name = cpp::ClassName(&message);
  names.insert(name);
  names.insert(absl::StrCat(name, "DefaultTypeInternal"));
  for (int i = 0; i < message.enum_type_count(); ++i) names.insert(cpp::ClassName(message.enum_type(i)));
  for (int i = 0; i < message.nested_type_count(); ++i) AddMessage(*message.nested_type(i), names);
}

void AddTypes(const pb::FileDescriptor& file, NameSet& names) {
  for (int i = 0; i < file.enum_type_count(); ++i) names.insert(cpp::ClassName(file.enum_type(i)));
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), names);
}

void AddGenericServices(const pb::FileDescriptor& file, NameSet& names) {
  if (!HasGenericServices(file)) return;
  for (int i = 0; i < file.service_count(); ++i) {
    names.emplace(file.service(i)->name());
    names.insert(absl::StrCat(file.service(i)->name(), "_Stub"));
  }
}

// "b" of "a.b.c" in the package "a", and "a" in no package.
void AddNamespace(const pb::FileDescriptor& imported, absl::string_view package, NameSet& names) {
  absl::string_view inner = imported.package();
  if (!package.empty() && !absl::ConsumePrefix(&inner, absl::StrCat(package, "."))) return;
  if (!inner.empty()) names.emplace(inner.substr(0, inner.find('.')));
}

}  // namespace

bool HasGenericServices(const pb::FileDescriptor& file) {
  return file.options().cc_generic_services();
}

std::set<std::string> NamesOfTypes(const pb::FileDescriptor& file) {
  NameSet names;
  for (const pb::FileDescriptor* one : WithImports(file)) {
    if (one->package() == file.package()) AddTypes(*one, names);
  }
  return names;
}

std::set<std::string> NamesBesideServices(const pb::FileDescriptor& file) {
  NameSet names = NamesOfTypes(file);
  for (const pb::FileDescriptor* one : WithImports(file)) {
    AddNamespace(*one, file.package(), names);
    if (one->package() == file.package()) AddGenericServices(*one, names);
  }
  return names;
}

}  // namespace nearcall::plugin
