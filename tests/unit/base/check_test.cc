// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <gtest/gtest.h>

namespace nearcall::base {
namespace {

TEST(CheckTest, AFailureEndsTheProcessAndSaysWhereAndWhat) {
  EXPECT_DEATH(NEARCALL_CHECK(1 + 1 == 3), "nearcall: .*check_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

TEST(CheckTest, ASuccessEvaluatesOnceAndDoesNothing) {
  int evaluations = 0;
  NEARCALL_CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

}  // namespace
}  // namespace nearcall::base
