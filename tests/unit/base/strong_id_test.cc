// SPDX-License-Identifier: Apache-2.0
#include "base/strong_id.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "absl/container/flat_hash_set.h"

namespace nearcall::base {
namespace {

using CallId = StrongId<struct CallIdTag>;
using MethodId = StrongId<struct MethodIdTag, uint32_t>;

static_assert(!std::is_convertible_v<uint64_t, CallId>);
static_assert(!std::is_convertible_v<CallId, uint64_t>);
static_assert(!std::is_constructible_v<CallId, MethodId>);
static_assert(sizeof(MethodId) == sizeof(uint32_t));

TEST(StrongIdTest, ComparesByValue) {
  EXPECT_EQ(CallId(), CallId(0));
  EXPECT_NE(CallId(1), CallId(2));
  EXPECT_LT(CallId(1), CallId(2));
  EXPECT_EQ(CallId(7).value(), 7u);
}

TEST(StrongIdTest, IsAKey) {
  const absl::flat_hash_set<CallId> ids = {CallId(1), CallId(2)};
  EXPECT_TRUE(ids.contains(CallId(2)));
  EXPECT_FALSE(ids.contains(CallId(3)));
}

}  // namespace
}  // namespace nearcall::base
