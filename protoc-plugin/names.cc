// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "google/protobuf/compiler/cpp/names.h"
#include "imports.h"
#include "protobuf_version.h"
#include "scope.h"
#include "words.h"

namespace nearcall::plugin {

namespace cpp = ::google::protobuf::compiler::cpp;
namespace pb = ::google::protobuf;

namespace {

// What a generated class and the classes in it declare themselves; sorted.
// clang-format off
constexpr absl::string_view kMembers[] = {
    "AsyncService", "AsyncStub", "CoService", "CoStub", "GetServiceInfo", "Methods", "Service", "Stub", "channel_",
    "kFullName"};
// clang-format on

static_assert(std::is_sorted(std::begin(kMembers), std::end(kMembers)));

bool IsTaken(absl::string_view name) {
  return IsKeyword(name) || IsMacro(name) || std::binary_search(std::begin(kMembers), std::end(kMembers), name);
}

// Whether a class of the namespace of `file` would be one of the libraries' over again.
bool IsOfLibrary(const pb::FileDescriptor& file, absl::string_view name) {
  return IsLibraryType(file.package().empty() ? std::string(name) : absl::StrCat(file.package(), ".", name));
}

// Names `all`, whose names differ in the `.proto`.
template <typename Descriptor>
void NameAll(const std::vector<const Descriptor*>& all, absl::FunctionRef<bool(absl::string_view)> is_taken,
             std::map<const Descriptor*, std::string>& names) {
  std::set<std::string> given;
  std::vector<const Descriptor*> others;
  for (const Descriptor* one : all) {
    if (is_taken(one->name())) {
      others.push_back(one);
      continue;
    }
    given.emplace(one->name());
    names[one] = one->name();
  }
  for (const Descriptor* one : others) {
    std::string name(one->name());
    while (is_taken(name) || given.contains(name)) name += '_';
    given.insert(name);
    names[one] = name;
  }
}

std::vector<const pb::ServiceDescriptor*> ServicesOf(const pb::FileDescriptor& file) {
  std::vector<const pb::ServiceDescriptor*> services;
  for (int i = 0; i < file.service_count(); ++i) services.push_back(file.service(i));
  return services;
}

std::vector<const pb::MethodDescriptor*> MethodsOf(const pb::ServiceDescriptor& service) {
  std::vector<const pb::MethodDescriptor*> methods;
  for (int i = 0; i < service.method_count(); ++i) methods.push_back(service.method(i));
  return methods;
}

}  // namespace

std::string BaseName(const pb::FileDescriptor& file) {
  return cpp::StripProto(file.name());
}

std::string Namespace(const pb::FileDescriptor& file) {
#if NEARCALL_PROTOBUF_27
  // Its keywords are renamed, and an option may choose another one.
  return std::string(absl::StripPrefix(cpp::Namespace(&file), "::"));
#else
  return absl::StrReplaceAll(file.package(), {{".", "::"}});
#endif
}

std::string MessageName(const pb::Descriptor& message) {
  return cpp::QualifiedClassName(&message);
}

Names::Names(const pb::FileDescriptor& file) {
  NameServices(file);
  // A method named like its service keeps its name: it is a member of the classes within, and collides with nothing.
  for (const pb::ServiceDescriptor* service : ServicesOf(file)) {
    NameAll<pb::MethodDescriptor>(MethodsOf(*service), IsTaken, methods_);
  }
}

void Names::NameServices(const pb::FileDescriptor& file) {
  if (!named_.insert(&file).second) return;
  std::set<std::string> taken = NamesBesideServices(file);
  // A program may include what is generated for this file and for those that it imports.
  for (const pb::FileDescriptor* imported : WithImports(file)) {
    if (imported == &file || imported->package() != file.package()) continue;
    NameServices(*imported);
    for (const pb::ServiceDescriptor* service : ServicesOf(*imported)) taken.insert(Of(*service));
  }
  const auto is_taken = [&](absl::string_view name) {
    return IsTaken(name) || IsOfLibrary(file, name) || taken.contains(std::string(name));
  };
  NameAll<pb::ServiceDescriptor>(ServicesOf(file), is_taken, services_);
  NameMocks(file, std::move(taken));
}

// After the services, which keep their names whether or not there are mocks.
void Names::NameMocks(const pb::FileDescriptor& file, std::set<std::string> taken) {
  for (const auto& [service, name] : services_) taken.insert(name);
  for (const auto& [service, name] : mocks_) taken.insert(name);
  for (const pb::ServiceDescriptor* service : ServicesOf(file)) {
    std::string name = absl::StrCat("Mock", Of(*service));
    while (IsTaken(name) || IsOfLibrary(file, name) || taken.contains(name)) name += '_';
    taken.insert(name);
    mocks_[service] = std::move(name);
  }
}

}  // namespace nearcall::plugin
