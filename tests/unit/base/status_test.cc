// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"

namespace nearcall::base {
namespace {

TEST(StatusTest, AnUnsharedCopyHasCodeAndTextInMemoryOfItsOwn) {
  absl::Status original = absl::UnavailableError("gone");
  original.SetPayload("type.test/payload", absl::Cord("bytes"));
  const absl::Status copy = UnsharedCopy(original);
  EXPECT_EQ(copy, absl::UnavailableError("gone"));
  EXPECT_NE(copy.message().data(), original.message().data());
}

TEST(StatusTest, AnUnsharedCopyOfOkIsOk) {
  EXPECT_TRUE(UnsharedCopy(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace nearcall::base
