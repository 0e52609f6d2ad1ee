#include "problems.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/compiler/cpp/names.h"
#include "google/protobuf/descriptor.pb.h"
#include "names.h"

namespace nearcall::plugin {

namespace cpp = ::google::protobuf::compiler::cpp;
namespace pb = ::google::protobuf;

namespace {

// Each C++ name of a scope and what has it, for people.
using Taken = std::map<std::string, std::string>;

std::string At(const pb::FileDescriptor& file, bool known, const pb::SourceLocation& location) {
  return known ? absl::StrCat(file.name(), ":", location.start_line + 1, ": ") : absl::StrCat(file.name(), ": ");
}

template <typename Descriptor>
std::string At(const Descriptor& descriptor) {
  pb::SourceLocation location;
  const bool known = descriptor.GetSourceLocation(&location);
  return At(*descriptor.file(), known, location);
}

std::string AtFileElement(const pb::FileDescriptor& file, const std::vector<int>& path) {
  pb::SourceLocation location;
  const bool known = file.GetSourceLocation(path, &location);
  return At(file, known, location);
}

// The part of a qualified C++ name that does not compile; empty if there is none.
std::string KeywordIn(absl::string_view qualified) {
  for (absl::string_view part : absl::StrSplit(qualified, "::")) {
    if (IsKeyword(part)) return std::string(part);
  }
  return "";
}

void TakeEnum(const pb::EnumDescriptor& type, Taken& taken) {
  taken.emplace(cpp::ClassName(&type), absl::StrCat("enum ", type.full_name()));
}

void TakeMessage(const pb::Descriptor& message, Taken& taken) {
  taken.emplace(cpp::ClassName(&message), absl::StrCat("message ", message.full_name()));
  for (int i = 0; i < message.enum_type_count(); ++i) TakeEnum(*message.enum_type(i), taken);
  for (int i = 0; i < message.nested_type_count(); ++i) TakeMessage(*message.nested_type(i), taken);
}

// The types that protobuf makes in the namespace of `package`, from `file` and what it imports.
void TakeTypes(const pb::FileDescriptor& file, const std::string& package, std::set<const pb::FileDescriptor*>& seen,
               Taken& taken) {
  if (!seen.insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) TakeTypes(*file.dependency(i), package, seen, taken);
  if (file.package() != package) return;
  for (int i = 0; i < file.enum_type_count(); ++i) TakeEnum(*file.enum_type(i), taken);
  for (int i = 0; i < file.message_type_count(); ++i) TakeMessage(*file.message_type(i), taken);
}

Taken NamesBesideServices(const pb::FileDescriptor& file) {
  Taken taken;
  if (file.package().empty()) {
    for (const char* used : {"absl", "google", "nearcall", "std"}) taken[used] = absl::StrCat("namespace ::", used);
  }
  std::set<const pb::FileDescriptor*> seen;
  TakeTypes(file, file.package(), seen, taken);
  return taken;
}

template <typename Descriptor>
void CheckName(const Descriptor& descriptor, const std::string& what, const std::string& name, Taken& taken,
               std::vector<std::string>& problems) {
  const auto [other, free] = taken.emplace(name, what);
  if (free) return;
  problems.push_back(absl::StrCat(At(descriptor), what, " would have the C++ name ", name, ", which ", other->second,
                                  " has already; rename one of them"));
}

void CheckMessage(const pb::MethodDescriptor& method, const pb::Descriptor& message,
                  std::vector<std::string>& problems) {
  const std::string part = KeywordIn(MessageName(message));
  if (part.empty()) return;
  problems.push_back(absl::StrCat(At(method), "message ", message.full_name(), " cannot be used from C++: \"", part,
                                  "\" is a keyword, and protobuf does not rename it"));
}

void CheckMethod(const pb::MethodDescriptor& method, Taken& taken, std::vector<std::string>& problems) {
  CheckName(method, absl::StrCat("method ", method.full_name()), MethodName(method), taken, problems);
  if (method.client_streaming() || method.server_streaming()) {
    problems.push_back(absl::StrCat(At(method), "method ", method.full_name(),
                                    " streams; protoc-gen-nearcall generates unary methods only"));
  }
  CheckMessage(method, *method.input_type(), problems);
  if (method.output_type() != method.input_type()) CheckMessage(method, *method.output_type(), problems);
}

void CheckService(const pb::ServiceDescriptor& service, Taken& taken, std::vector<std::string>& problems) {
  CheckName(service, absl::StrCat("service ", service.full_name()), ServiceName(service), taken, problems);
  Taken methods;
  for (int i = 0; i < service.method_count(); ++i) CheckMethod(*service.method(i), methods, problems);
}

// The name becomes an #include, and a part of comments.
void CheckFileName(const pb::FileDescriptor& file, std::vector<std::string>& problems) {
  const auto spoils = [](char c) {
    return c == '"' || c == '\\' || absl::ascii_iscntrl(static_cast<unsigned char>(c));
  };
  if (std::none_of(file.name().begin(), file.name().end(), spoils)) return;
  problems.push_back(absl::StrCat(absl::CHexEscape(file.name()),
                                  ": the name of this file cannot stand in an #include: it has a quotation mark, a "
                                  "backslash or a control character; rename the file"));
}

void CheckFile(const pb::FileDescriptor& file, std::vector<std::string>& problems) {
  if (const std::string part = KeywordIn(Namespace(file)); !part.empty()) {
    problems.push_back(absl::StrCat(AtFileElement(file, {pb::FileDescriptorProto::kPackageFieldNumber}), "package ",
                                    file.package(), " cannot be used from C++: \"", part,
                                    "\" is a keyword, and protobuf does not rename it"));
  }
  if (file.options().cc_generic_services()) {
    const std::vector<int> path = {pb::FileDescriptorProto::kOptionsFieldNumber,
                                   pb::FileOptions::kCcGenericServicesFieldNumber};
    problems.push_back(absl::StrCat(AtFileElement(file, path),
                                    "with the option cc_generic_services protobuf generates ",
                                    "classes of the same names; remove it"));
  }
}

}  // namespace

std::vector<std::string> ProblemsOf(const pb::FileDescriptor& file) {
  std::vector<std::string> problems;
  CheckFileName(file, problems);
  if (!problems.empty() || file.service_count() == 0) return problems;
  CheckFile(file, problems);
  if (!problems.empty()) return problems;  // each of its messages would have the same one
  Taken taken = NamesBesideServices(file);
  for (int i = 0; i < file.service_count(); ++i) CheckService(*file.service(i), taken, problems);
  return problems;
}

}  // namespace nearcall::plugin
