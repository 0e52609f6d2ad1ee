// SPDX-License-Identifier: Apache-2.0

// The plugin over descriptors that protoc may hand over, and over some that it would not: it writes its files, or
// says what is wrong and writes nothing; and the same each time.
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/mutated_file.h"
#include "generator.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "nearcall/options.pb.h"
#include "protobuf_version.h"

namespace nearcall::fuzz {
namespace {

namespace pb = ::google::protobuf;

class Files final : public pb::compiler::GeneratorContext {
 public:
  pb::io::ZeroCopyOutputStream* Open(const std::string& name) override {
    NEARCALL_CHECK(texts_.count(name) == 0);
    return new pb::io::StringOutputStream(&texts_[name]);
  }
  const std::map<std::string, std::string>& texts() const { return texts_; }

 private:
  std::map<std::string, std::string> texts_;
};

class Silent final : public pb::DescriptorPool::ErrorCollector {
 public:
#if NEARCALL_PROTOBUF_22
  void RecordError(absl::string_view, absl::string_view, const pb::Message*, ErrorLocation,
                   absl::string_view) override {}
#else
  void AddError(const std::string&, const std::string&, const pb::Message*, ErrorLocation,
                const std::string&) override {}
#endif
};

// What x.proto imports: types of every kind that a method can name, or must not.
void BuildImports(pb::DescriptorPool& pool) {
  pb::FileDescriptorProto imported;
  for (const pb::FileDescriptor* file :
       {pb::FileDescriptorProto::descriptor()->file(), MethodPriority_descriptor()->file()}) {
    imported.Clear();
    file->CopyTo(&imported);
    NEARCALL_CHECK(pool.BuildFile(imported) != nullptr);
  }
  imported.Clear();
  imported.set_name("base.proto");
  imported.set_package("base");
  imported.add_message_type()->set_name("Request");
  imported.add_message_type()->set_name("delete");
  pb::DescriptorProto& outer = *imported.add_message_type();
  outer.set_name("Outer");
  outer.add_nested_type()->set_name("Inner");
  pb::EnumDescriptorProto& color = *imported.add_enum_type();
  color.set_name("Color");
  color.add_value()->set_name("RED");
  color.mutable_value(0)->set_number(0);
  NEARCALL_CHECK(pool.BuildFile(imported) != nullptr);
}

struct Result {
  bool ok;
  std::string error;
  Files files;
};

void Generate(const pb::FileDescriptor& file, const std::string& parameter, Result& result) {
  result.ok = plugin::Generator().GenerateAll({&file}, parameter, &result.files, &result.error);
}

void CheckRefusal(const Result& result, const std::string& file) {
  NEARCALL_CHECK(!result.error.empty() && result.files.texts().empty());
  for (const absl::string_view line : absl::StrSplit(result.error, '\n')) {
    NEARCALL_CHECK(absl::StartsWith(line, file) || absl::StartsWith(line, absl::CHexEscape(file)) ||
                   absl::StartsWith(line, "unknown option"));
  }
}

}  // namespace

void Run(Input script) {
  constexpr const char* kParameters[] = {"verbose", "generate_mock_code=true"};
  const uint8_t which = script.Take<uint8_t>();
  const std::string parameter = which < std::size(kParameters) ? kParameters[which] : "";
  const pb::FileDescriptorProto proto = MutatedFile(script);
  pb::DescriptorPool pool;
  BuildImports(pool);
  Silent silent;
  const pb::FileDescriptor* file = pool.BuildFileCollectingErrors(proto, &silent);
  if (file == nullptr) return;  // protoc says what is wrong with it
  Result result;
  Generate(*file, parameter, result);
  if (!result.ok) return CheckRefusal(result, proto.name());
  NEARCALL_CHECK(result.files.texts().size() == (parameter.empty() ? 2 : 3));
  Result again;
  Generate(*file, parameter, again);
  NEARCALL_CHECK(again.files.texts() == result.files.texts());
}

}  // namespace nearcall::fuzz
