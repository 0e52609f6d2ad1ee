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

// What --nearcall_opt says.
struct Options {
  bool mocks = false;  // x.nearcall.mock.h, too
};

Options ParseOptions(const std::string& parameter, std::vector<std::string>& problems) {
  std::vector<std::pair<std::string, std::string>> given;
  pb::compiler::ParseGeneratorParameter(parameter, &given);
  Options options;
  for (const auto& [key, value] : given) {
    if (key != "generate_mock_code") {
      problems.push_back(absl::StrCat("unknown option \"", key, "\": there is generate_mock_code=true, and no other"));
    } else if (value != "true" && value != "false") {
      problems.push_back(absl::StrCat("option generate_mock_code is \"", value, "\", allowed are true and false"));
    } else {
      options.mocks = value == "true";
    }
  }
  return options;
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
  std::vector<std::string> problems;
  const Options options = ParseOptions(parameter, problems);
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
    if (options.mocks) Write(BaseName(*file) + ".nearcall.mock.h", MockText(*file), *context);
  }
  return true;
}

}  // namespace nearcall::plugin
