// SPDX-License-Identifier: Apache-2.0
#include "method_options.h"

#include "imports.h"
#include "nearcall/options.pb.h"

namespace nearcall::plugin {

namespace pb = ::google::protobuf;

namespace {

const char* PriorityName(MethodPriority priority) {
  switch (priority) {
    case LOW:
      return "kLow";
    case NORMAL:
      return "kNormal";
    case HIGH:
      return "kHigh";
    case URGENT:
      return "kUrgent";
  }
  return "kNormal";
}

// SUBTLE: anybody may have an option of our numbers, which nobody hands out. Ours are those that the file can name.
bool SeesOurOptions(const pb::FileDescriptor& file) {
  const pb::FieldDescriptor* ours = file.pool()->FindExtensionByName("nearcall.priority");
  return ours != nullptr && Sees(file, *ours->file());
}

}  // namespace

MethodOptions OptionsOf(const pb::MethodDescriptor& method) {
  if (!SeesOurOptions(*method.file())) return {};
  const pb::MethodOptions& options = method.options();
  return {.priority = PriorityName(options.GetExtension(priority)),
          .timeout_ns = int64_t{options.GetExtension(timeout_ms)} * 1'000'000,
          .may_block = options.GetExtension(may_block),
          .one_way = options.GetExtension(one_way),
          .descriptors = options.GetExtension(descriptors)};
}

}  // namespace nearcall::plugin
