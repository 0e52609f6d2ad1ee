// SPDX-License-Identifier: Apache-2.0
#include "problems.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "comments.h"
#include "google/protobuf/descriptor.pb.h"
#include "header_problems.h"
#include "imports.h"
#include "method_options.h"
#include "names.h"
#include "place.h"
#include "words.h"

namespace nearcall::plugin {

namespace pb = ::google::protobuf;

namespace {

// Of a method's request or reply.
void CheckMessage(const pb::MethodDescriptor& method, const pb::Descriptor& message,
                  std::vector<std::string>& problems) {
  if (message.options().map_entry()) {
    problems.push_back(absl::StrCat(At(method), "method ", method.full_name(), " has ", message.full_name(),
                                    ", which is the entry of a map and no message of its own; use another message"));
  }
  for (absl::string_view part : absl::StrSplit(MessageName(message), "::")) {
    if (!IsObjectMacro(part)) continue;
    problems.push_back(absl::StrCat(At(message), "message ", message.full_name(), " cannot be used from C++: \"", part,
                                    "\" is a macro of a library that generated code includes; rename it"));
  }
}

void CheckOneWay(const pb::MethodDescriptor& method, std::vector<std::string>& problems) {
  constexpr char kNothing[] = "google.protobuf.Empty";
  if (!OptionsOf(method).one_way) return;
  const std::string says =
      absl::StrCat(At(method), "method ", method.full_name(), " is one-way (option nearcall.one_way), but it ");
  if (method.client_streaming() || method.server_streaming()) {
    problems.push_back(absl::StrCat(says, "streams; remove the option, or what streams"));
  } else if (method.output_type()->full_name() != kNothing) {
    problems.push_back(absl::StrCat(says, "returns ", method.output_type()->full_name(),
                                    ", which nobody would get; let it return ", kNothing, ", or remove the option"));
  }
}

void CheckDescriptors(const pb::MethodDescriptor& method, std::vector<std::string>& problems) {
  constexpr uint32_t kMost = 16;
  const uint32_t count = OptionsOf(method).descriptors;
  if (count <= kMost) return;
  problems.push_back(absl::StrCat(At(method), "method ", method.full_name(), " wants ", count,
                                  " descriptors with a message (option nearcall.descriptors); at most ", kMost,
                                  " can go with one"));
}

void CheckMethod(const pb::MethodDescriptor& method, std::vector<std::string>& problems) {
  CheckOneWay(method, problems);
  CheckDescriptors(method, problems);
  CheckMessage(method, *method.input_type(), problems);
  if (method.output_type() != method.input_type()) CheckMessage(method, *method.output_type(), problems);
}

void CheckService(const pb::ServiceDescriptor& service, std::vector<std::string>& problems) {
  for (int i = 0; i < service.method_count(); ++i) CheckMethod(*service.method(i), problems);
}

// The name becomes an #include, and a part of comments.
void CheckFileName(const pb::FileDescriptor& file, std::vector<std::string>& problems) {
  const absl::string_view name = file.name();
  const bool quoted = name.find_first_of("\"\\") != absl::string_view::npos;
  if (!quoted && Visible(name) == name) return;
  problems.push_back(absl::StrCat(absl::CHexEscape(name),
                                  ": the name of this file cannot stand in an #include: it has a quotation mark, a "
                                  "backslash or a control character; rename the file"));
}

}  // namespace

std::vector<std::string> ProblemsOf(const pb::FileDescriptor& file) {
  std::vector<std::string> problems;
  CheckFileName(file, problems);
  if (!problems.empty() || file.service_count() == 0) return problems;
  for (int i = 0; i < file.service_count(); ++i) CheckService(*file.service(i), problems);
  for (const pb::FileDescriptor* one : WithImports(file)) {
    for (std::string& problem : ProblemsOfHeader(*one)) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace nearcall::plugin
