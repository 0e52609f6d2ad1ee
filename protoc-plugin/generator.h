// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "google/protobuf/compiler/code_generator.h"
#include "protobuf_version.h"

namespace nearcall::plugin {

// The assembly: reads what protoc hands over, writes x.nearcall.pb.h and x.nearcall.pb.cc (and, if asked,
// x.nearcall.mock.h) for each `.proto`, or says what is wrong with all of them. What it writes for a file depends on
// that file and its imports alone.
class Generator final : public google::protobuf::compiler::CodeGenerator {
 public:
  bool Generate(const google::protobuf::FileDescriptor* file, const std::string& parameter,
                google::protobuf::compiler::GeneratorContext* context, std::string* error) const override;
  bool GenerateAll(const std::vector<const google::protobuf::FileDescriptor*>& files, const std::string& parameter,
                   google::protobuf::compiler::GeneratorContext* context, std::string* error) const override;
#if NEARCALL_PROTOBUF_27
  uint64_t GetSupportedFeatures() const override {
    return FEATURE_PROTO3_OPTIONAL | FEATURE_SUPPORTS_EDITIONS;
  }
  // What is generated touches no field: an edition changes nothing in it. 2024 is the newest that was tried.
  google::protobuf::Edition GetMinimumEdition() const override {
    return google::protobuf::EDITION_PROTO2;
  }
  google::protobuf::Edition GetMaximumEdition() const override {
    return google::protobuf::EDITION_2024;
  }
#else
  uint64_t GetSupportedFeatures() const override {
    return FEATURE_PROTO3_OPTIONAL;
  }
#endif
};

}  // namespace nearcall::plugin
