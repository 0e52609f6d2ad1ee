// SPDX-License-Identifier: Apache-2.0
#include "imports.h"

#include <set>

namespace nearcall::plugin {

namespace pb = ::google::protobuf;

namespace {

bool Exports(const pb::FileDescriptor& file, const pb::FileDescriptor& other,
             std::set<const pb::FileDescriptor*>& seen) {
  if (&file == &other) return true;
  if (!seen.insert(&file).second) return false;
  for (int i = 0; i < file.public_dependency_count(); ++i) {
    if (Exports(*file.public_dependency(i), other, seen)) return true;
  }
  return false;
}

}  // namespace

std::vector<const pb::FileDescriptor*> WithImports(const pb::FileDescriptor& file) {
  std::vector<const pb::FileDescriptor*> files = {&file};
  std::set<const pb::FileDescriptor*> seen = {&file};
  for (size_t next = 0; next < files.size(); ++next) {
    for (int i = 0; i < files[next]->dependency_count(); ++i) {
      const pb::FileDescriptor* imported = files[next]->dependency(i);
      if (seen.insert(imported).second) files.push_back(imported);
    }
  }
  return files;
}

bool Sees(const pb::FileDescriptor& file, const pb::FileDescriptor& other) {
  std::set<const pb::FileDescriptor*> seen;
  for (int i = 0; i < file.dependency_count(); ++i) {
    if (Exports(*file.dependency(i), other, seen)) return true;
  }
  return false;
}

}  // namespace nearcall::plugin
