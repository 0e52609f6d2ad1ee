// SPDX-License-Identifier: Apache-2.0
#include "rpc/standard/descriptors.h"

#include <array>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace nearcall::rpc {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;

constexpr unsigned char kStandardFiles[] = {
#include "nearcall/standard/descriptors.inc"
};

const DescriptorPool* MakeStandardPool() {
  auto* const pool = new DescriptorPool();  // as long as the process, like the program's
  google::protobuf::FileDescriptorSet files;
  NEARCALL_CHECK(files.ParseFromArray(kStandardFiles, sizeof(kStandardFiles)));
  for (const FileDescriptorProto& file : files.file()) NEARCALL_CHECK(pool->BuildFile(file) != nullptr);
  return pool;
}

std::array<const DescriptorPool*, 2> Pools() {
  static const DescriptorPool* const standard = MakeStandardPool();
  return {DescriptorPool::generated_pool(), standard};
}

absl::Status NotFound(const char* what, const std::string& name) {
  constexpr size_t kMost = 200;
  return absl::NotFoundError(absl::StrCat(
      "the server's program knows no ", what, " ", absl::CHexEscape(absl::string_view(name).substr(0, kMost)),
      " (nothing is known of files for the LITE_RUNTIME, nor of those whose .pb.cc was left "
      "out of the program by the linker)"));
}

// After what it imports.
void Append(const FileDescriptor& file, std::set<const FileDescriptor*>& there, std::vector<std::string>& files) {
  if (!there.insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) Append(*file.dependency(i), there, files);
  FileDescriptorProto proto;
  file.CopyTo(&proto);
  files.push_back(proto.SerializeAsString());
}

std::vector<std::string> WithImports(const FileDescriptor& file) {
  std::vector<std::string> files;
  std::set<const FileDescriptor*> there;
  Append(file, there, files);
  return files;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FileByName(const std::string& name) {
  for (const DescriptorPool* pool : Pools()) {
    if (const FileDescriptor* file = pool->FindFileByName(name)) return WithImports(*file);
  }
  return NotFound("file", name);
}

absl::StatusOr<std::vector<std::string>> FileOfSymbol(const std::string& full_name) {
  for (const DescriptorPool* pool : Pools()) {
    if (const FileDescriptor* file = pool->FindFileContainingSymbol(full_name)) return WithImports(*file);
  }
  return NotFound("symbol", full_name);
}

absl::StatusOr<std::vector<std::string>> FileOfExtension(const std::string& type, int number) {
  for (const DescriptorPool* pool : Pools()) {
    const Descriptor* const extended = pool->FindMessageTypeByName(type);
    if (extended == nullptr) continue;
    if (const FieldDescriptor* field = pool->FindExtensionByNumber(extended, number)) {
      return WithImports(*field->file());
    }
  }
  return NotFound("extension of", type);
}

absl::StatusOr<std::vector<int>> ExtensionsOf(const std::string& type) {
  for (const DescriptorPool* pool : Pools()) {
    const Descriptor* const extended = pool->FindMessageTypeByName(type);
    if (extended == nullptr) continue;
    std::vector<const FieldDescriptor*> fields;
    pool->FindAllExtensions(extended, &fields);
    std::vector<int> numbers;
    for (const FieldDescriptor* field : fields) numbers.push_back(field->number());
    return numbers;
  }
  return NotFound("message type", type);
}

}  // namespace nearcall::rpc
