// SPDX-License-Identifier: Apache-2.0

// protoc-gen-nearcall: the plugin that `protoc --nearcall_out=DIR x.proto` runs.
#include "google/protobuf/compiler/plugin.h"

#include "generator.h"

int main(int argc, char** argv) {
  const nearcall::plugin::Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
