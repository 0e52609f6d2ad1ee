// SPDX-License-Identifier: Apache-2.0
#include "generator.h"

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "names.h"
#include "problems.h"
#include "service_writer.h"

namespace nearcall::plugin {

namespace pb = ::google::protobuf;

namespace {

// One problem for each option given: there are none to give.
std::vector<std::string> ProblemsOfParameter(const std::string& parameter) {
  std::vector<std::pair<std::string, std::string>> options;
  pb::compiler::ParseGeneratorParameter(parameter, &options);
  std::vector<std::string> problems;
  for (const auto& [key, value] : options) {
    problems.push_back(absl::StrCat("unknown option \"", key, "\": protoc-gen-nearcall takes no options"));
  }
  return problems;
}

void Write(const std::string& name, const std::string& text, pb::compiler::GeneratorContext& context) {
  const std::unique_ptr<pb::io::ZeroCopyOutputStream> file(context.Open(name));
  pb::io::CodedOutputStream(file.get()).WriteString(text);
}

}  // namespace

bool Generator::Generate(const pb::FileDescriptor* file, const std::string& parameter,
                         pb::compiler::GeneratorContext* context, std::string* error) const {
  return GenerateAll({file}, parameter, context, error);
}

bool Generator::GenerateAll(const std::vector<const pb::FileDescriptor*>& files, const std::string& parameter,
                            pb::compiler::GeneratorContext* context, std::string* error) const {
  std::vector<std::string> problems = ProblemsOfParameter(parameter);
  std::set<std::string> said;  // what several files import is said once
  for (const pb::FileDescriptor* file : files) {
    for (const std::string& problem : ProblemsOf(*file)) {
      if (said.insert(problem).second) problems.push_back(problem);
    }
  }
  if (!problems.empty()) {
    *error = absl::StrJoin(problems, "\n");
    return false;
  }
  for (const pb::FileDescriptor* file : files) {
    Write(BaseName(*file) + ".nearcall.pb.h", HeaderText(*file), *context);
    Write(BaseName(*file) + ".nearcall.pb.cc", SourceText(*file), *context);
  }
  return true;
}

}  // namespace nearcall::plugin
