// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace nearcall::testing {

std::string ReadFile(const std::filesystem::path& path);

// The .proto files below `dir`, by the names under which they import each other; sorted.
std::vector<std::string> ProtosIn(const std::filesystem::path& dir);

// What a run of protoc with the plugin did.
struct ProtocRun {
  bool ok = false;
  std::string errors;                        // what protoc printed
  std::map<std::string, std::string> files;  // what it wrote: "dir/x.nearcall.pb.h" -> text
};

// Runs the real protoc with the real plugin on `protos`, which lie below `import_dir`, into a directory of its own.
ProtocRun RunProtoc(const std::filesystem::path& import_dir, const std::vector<std::string>& protos,
                    const std::vector<std::string>& flags = {});

}  // namespace nearcall::testing
