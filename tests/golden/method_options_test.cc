// SPDX-License-Identifier: Apache-2.0

// The options of a method reach the runtime.
#include <gtest/gtest.h>

#include <string>

#include "method_options.nearcall.pb.h"

namespace nearcall {
namespace {

struct Row {
  const char* method;
  Priority priority;
  int64_t timeout_ns;
  bool may_block;
  uint8_t max_descriptors = 0;
};

constexpr Row kRows[] = {
    {"Default", Priority::kNormal, 0, false},
    {"Low", Priority::kLow, 0, false},
    {"Normal", Priority::kNormal, 0, false},
    {"High", Priority::kHigh, 0, false},
    {"Urgent", Priority::kUrgent, 0, false},
    {"Timeout", Priority::kNormal, 1'000'000, false},
    {"LongestTimeout", Priority::kNormal, 4'294'967'295'000'000, false},
    {"MayBlock", Priority::kNormal, 0, true},
    {"All", Priority::kHigh, 500'000'000, true, 16},
};

TEST(MethodOptionsTest, ReachTheRuntime) {
  const demo::Options::Service service;
  const auto methods = service.GetServiceInfo().methods;
  ASSERT_EQ(methods.size(), std::size(kRows));
  for (size_t i = 0; i < methods.size(); ++i) {
    const internal::MethodInfo& info = methods[i].info;
    EXPECT_EQ(info.full_name, std::string("demo.Options/") + kRows[i].method);
    EXPECT_EQ(info.priority, kRows[i].priority) << info.full_name;
    EXPECT_EQ(info.timeout_ns, kRows[i].timeout_ns) << info.full_name;
    EXPECT_EQ(info.may_block, kRows[i].may_block) << info.full_name;
    EXPECT_EQ(info.max_descriptors, kRows[i].max_descriptors) << info.full_name;
  }
}

}  // namespace
}  // namespace nearcall
