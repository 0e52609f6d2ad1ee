// SPDX-License-Identifier: Apache-2.0
#include "header_problems.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/compiler/cpp/names.h"
#include "google/protobuf/descriptor.pb.h"
#include "place.h"
#include "protobuf_version.h"
#include "scope.h"
#include "words.h"

namespace nearcall::plugin {

namespace cpp = ::google::protobuf::compiler::cpp;
namespace pb = ::google::protobuf;

namespace {

// One walk over a file.
class HeaderCheck {
 public:
  explicit HeaderCheck(const pb::FileDescriptor& file) : file_(file) {}

  std::vector<std::string> Run() {
    CheckPackage();
    for (int i = 0; i < file_.enum_type_count(); ++i) CheckEnum(*file_.enum_type(i));
    for (int i = 0; i < file_.message_type_count(); ++i) CheckMessage(*file_.message_type(i));
    for (int i = 0; i < file_.extension_count(); ++i) CheckExtension(*file_.extension(i));
    if (HasGenericServices(file_)) CheckGenericServices();
    return std::move(problems_);
  }

 private:
  void Add(const std::string& at, absl::string_view what, absl::string_view why) {
    problems_.push_back(absl::StrCat(at, what, " cannot be used from C++: ", why));
  }

  // `name`: as it stands in the header.
  template <typename Descriptor>
  void CheckWord(const Descriptor& descriptor, absl::string_view kind, absl::string_view name) {
    if (!IsKeyword(name)) return;
    Add(At(descriptor), absl::StrCat(kind, " ", descriptor.full_name()),
        absl::StrCat("\"", name, "\" is a keyword, and protobuf does not rename it"));
  }

  // protobuf 27 and newer renames a keyword in a package.
  void CheckPackage() {
#if !NEARCALL_PROTOBUF_27
    for (absl::string_view part : absl::StrSplit(file_.package(), '.')) {
      if (!IsKeyword(part)) continue;
      Add(AtFileElement(file_, {pb::FileDescriptorProto::kPackageFieldNumber}),
          absl::StrCat("package ", file_.package()),
          absl::StrCat("\"", part, "\" is a keyword, and protobuf does not rename it"));
    }
#endif
  }

  // A C++ class has no member of its own name.
  template <typename Descriptor>
  void CheckMember(const Descriptor& member, absl::string_view kind, absl::string_view name,
                   const pb::Descriptor* message) {
    if (message == nullptr || name != cpp::ClassName(message)) return;
    Add(At(member), absl::StrCat(kind, " ", member.full_name()),
        absl::StrCat("the class of message ", message->full_name(), " has the same name; rename one of them"));
  }

  // SUBTLE: a nested type is in the header twice, as Outer_Inner and, within the class, by its own name.
  template <typename Descriptor>
  void CheckType(const Descriptor& type, absl::string_view kind) {
    if (type.containing_type() != nullptr) {
      CheckMember(type, kind, type.name(), type.containing_type());
      if (IsKeywordUnknownToProtobuf(type.name())) CheckWord(type, kind, type.name());
      return;
    }
    const std::string name = cpp::ClassName(&type);
    CheckWord(type, kind, name);
    if (IsLibraryType(file_.package().empty() ? name : absl::StrCat(file_.package(), ".", name))) {
      Add(At(type), absl::StrCat(kind, " ", type.full_name()),
          "a library that generated code includes has this name in C++; rename it");
    }
  }

  // Of what is in the namespace without being a type.
  template <typename Descriptor>
  void CheckGlobal(const Descriptor& descriptor, absl::string_view kind, absl::string_view name) {
    if (!file_.package().empty() || !IsLibraryNamespace(name)) return;
    Add(At(descriptor), absl::StrCat(kind, " ", descriptor.full_name()),
        "a library that generated code includes has this namespace; rename it");
  }

  void CheckEnum(const pb::EnumDescriptor& type) {
    CheckType(type, "enum");
    for (int i = 0; i < type.value_count(); ++i) {
      CheckWord(*type.value(i), "enum value", cpp::EnumValueName(type.value(i)));
      CheckMember(*type.value(i), "enum value", cpp::EnumValueName(type.value(i)), type.containing_type());
      if (type.containing_type() == nullptr) CheckGlobal(*type.value(i), "enum value", type.value(i)->name());
    }
  }

  void CheckMessage(const pb::Descriptor& message) {
    if (message.options().map_entry()) return;
    CheckType(message, "message");
    for (int i = 0; i < message.field_count(); ++i) {
      CheckWord(*message.field(i), "field", cpp::FieldName(message.field(i)));
      CheckMember(*message.field(i), "field", cpp::FieldName(message.field(i)), &message);
    }
    for (int i = 0; i < message.enum_type_count(); ++i) CheckEnum(*message.enum_type(i));
    for (int i = 0; i < message.nested_type_count(); ++i) CheckMessage(*message.nested_type(i));
    for (int i = 0; i < message.extension_count(); ++i) CheckExtension(*message.extension(i));
  }

  void CheckExtension(const pb::FieldDescriptor& extension) {
    if (IsKeywordUnknownToProtobuf(extension.name())) CheckWord(extension, "extension", extension.name());
    CheckMember(extension, "extension", extension.name(), extension.extension_scope());
    if (extension.extension_scope() == nullptr) CheckGlobal(extension, "extension", extension.name());
  }

  // ---- protobuf's own classes for services, in which it renames nothing ----

  template <typename Descriptor>
  void AddGeneric(const Descriptor& descriptor, absl::string_view kind, absl::string_view name, absl::string_view why) {
    Add(At(descriptor), absl::StrCat(kind, " ", descriptor.full_name()),
        absl::StrCat("with the option cc_generic_services protobuf generates ", name, " of it, ", why,
                     "; rename it or remove the option"));
  }

  void CheckGenericServices() {
    const std::set<std::string> types = NamesOfTypes(file_);
    std::set<std::string> classes = types;
    for (int i = 0; i < file_.service_count(); ++i) classes.emplace(file_.service(i)->name());
    for (int i = 0; i < file_.service_count(); ++i) {
      const pb::ServiceDescriptor& service = *file_.service(i);
      CheckGenericService(service, types, classes);
      for (int j = 0; j < service.method_count(); ++j) CheckGenericMethod(*service.method(j));
    }
  }

  void CheckGenericService(const pb::ServiceDescriptor& service, const std::set<std::string>& types,
                           const std::set<std::string>& classes) {
    static const std::set<std::string> members = {"CallMethod",           "GetDescriptor", "GetRequestPrototype",
                                                  "GetResponsePrototype", "Stub",          "descriptor"};
    // From protobuf 30 on it is a view. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
    const std::string name(service.name());
    const std::string stub = absl::StrCat(name, "_Stub");
    if (IsKeyword(name)) AddGeneric(service, "service", name, "which is a keyword");
    if (types.contains(name)) AddGeneric(service, "service", name, "which a message or enum is already");
    if (members.contains(name)) AddGeneric(service, "service", name, "which has a member of this name");
    if (classes.contains(stub)) AddGeneric(service, "service", stub, "which something else is already");
  }

  void CheckGenericMethod(const pb::MethodDescriptor& method) {
    const std::string service(method.service()->name());
    const std::set<std::string> members = {"Stub",          "channel_", "descriptor",
                                           "owns_channel_", service,    absl::StrCat(service, "_Stub")};
    // As above. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
    const std::string name(method.name());
    if (IsKeyword(name)) AddGeneric(method, "method", name, "which is a keyword");
    if (members.contains(name)) AddGeneric(method, "method", name, "which its class has already");
  }

  const pb::FileDescriptor& file_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> ProblemsOfHeader(const pb::FileDescriptor& file) {
  return HeaderCheck(file).Run();
}

}  // namespace nearcall::plugin
