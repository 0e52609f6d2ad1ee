// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/compiler/importer.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "schema.h"

namespace nearcall::tools {

namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;

std::vector<std::string> ServicesOf(const std::vector<const FileDescriptor*>& files) {
  std::vector<std::string> names;
  for (const FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); ++i) names.emplace_back(file->service(i)->full_name());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Errors final : public google::protobuf::compiler::MultiFileErrorCollector {
 public:
  const std::string& first() const { return first_; }

#if GOOGLE_PROTOBUF_VERSION >= 4022000
  void RecordError(absl::string_view file, int line, int /*column*/, absl::string_view message) override {
    Note(file, line, message);
  }
#else
  void AddError(const std::string& file, int line, int /*column*/, const std::string& message) override {
    Note(file, line, message);
  }
#endif

 private:
  void Note(absl::string_view file, int line, absl::string_view message) {
    if (first_.empty()) first_ = absl::StrCat(file, line < 0 ? "" : absl::StrCat(":", line + 1), ": ", message);
  }

  std::string first_;
};

class SourceSchema final : public Schema {
 public:
  explicit SourceSchema(const std::vector<std::string>& import_paths) : importer_(&tree_, &errors_) {
    for (const std::string& path : import_paths) tree_.MapPath("", path);
    if (import_paths.empty()) tree_.MapPath("", ".");
  }

  absl::Status Import(const std::string& path) {
    std::string name = path;
    std::string shadowing;
    // A path of the file system, too.
    if (tree_.DiskFileToVirtualFile(path, &name, &shadowing) != google::protobuf::compiler::DiskSourceTree::SUCCESS) {
      name = path;
    }
    const FileDescriptor* const file = importer_.Import(name);
    if (file == nullptr) return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", errors_.first()));
    files_.push_back(file);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Services() override { return ServicesOf(files_); }

 protected:
  const DescriptorPool& pool() override { return *importer_.pool(); }

 private:
  google::protobuf::compiler::DiskSourceTree tree_;
  Errors errors_;
  google::protobuf::compiler::Importer importer_;
  std::vector<const FileDescriptor*> files_;
};

class SetSchema final : public Schema {
 public:
  absl::Status Import(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    google::protobuf::FileDescriptorSet set;
    if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
    if (!set.ParseFromIstream(&in)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is no descriptor set (protoc --descriptor_set_out=F --include_imports)"));
    }
    for (const FileDescriptorProto& file : set.file()) {
      if (pool_.FindFileByName(file.name()) != nullptr) continue;
      const FileDescriptor* const built = pool_.BuildFile(file);
      if (built == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": ", file.name(), " cannot be used; was it made with protoc's --include_imports?"));
      }
      files_.push_back(built);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> Services() override { return ServicesOf(files_); }

 protected:
  const DescriptorPool& pool() override { return pool_; }

 private:
  DescriptorPool pool_;
  std::vector<const FileDescriptor*> files_;
};

template <typename Files>
absl::Status ImportAll(Files& schema, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (absl::Status imported = schema.Import(path); !imported.ok()) return imported;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Schema>> Schema::OfFiles(const std::vector<std::string>& protosets,
                                                        const std::vector<std::string>& protos,
                                                        const std::vector<std::string>& import_paths) {
  if (!protosets.empty() && !protos.empty()) {
    return absl::InvalidArgumentError("--proto and --protoset are two ways to say the same; use one");
  }
  if (!protosets.empty()) {
    auto schema = std::make_unique<SetSchema>();
    if (absl::Status imported = ImportAll(*schema, protosets); !imported.ok()) return imported;
    return schema;
  }
  auto schema = std::make_unique<SourceSchema>(import_paths);
  if (absl::Status imported = ImportAll(*schema, protos); !imported.ok()) return imported;
  return schema;
}

}  // namespace nearcall::tools
