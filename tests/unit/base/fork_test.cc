// SPDX-License-Identifier: Apache-2.0
#include "base/fork.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace nearcall::base {
namespace {

// What `check` says in a forked child.
template <typename Check>
bool InChild(Check&& check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(ForkTest, TheGenerationRisesInTheChildOnly) {
  const uint64_t before = ForkGeneration();
  EXPECT_TRUE(InChild([&] { return ForkGeneration() == before + 1; }));
  EXPECT_EQ(ForkGeneration(), before);
}

TEST(ForkTest, AGuardKnowsThatItIsInherited) {
  const ForkGuard guard;
  EXPECT_FALSE(guard.InChild());
  EXPECT_TRUE(InChild([&] { return guard.InChild() && !ForkGuard().InChild(); }));
}

TEST(ForkTest, AGrandchildIsAnotherGenerationAgain) {
  EXPECT_TRUE(InChild([&] {
    const ForkGuard guard;
    return InChild([&] { return guard.InChild(); });
  }));
}

}  // namespace
}  // namespace nearcall::base
