// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/directory_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "process.h"
#include "support/before_lock.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DirectoryLockTest, HasOneHolderAtATimeAndLeavesNoFile) {
  const TemporaryDirectory names;
  const Directory directory = Directory::OpenPrivate(names.path(), Directory::IfMissing::kFail).value();
  std::atomic<int> holders{0};
  // So often that it is over before anybody has waited too long: the lock goes to whoever looks first.
  const auto contend = [&] {
    for (int i = 0; i < 100; ++i) {
      const auto lock = DirectoryLock::Acquire(directory, ".lock");
      ASSERT_TRUE(lock.ok()) << lock.status();
      ASSERT_EQ(++holders, 1);
      std::this_thread::yield();
      ASSERT_EQ(holders--, 1);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(contend);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(names.Entries(), IsEmpty());
}

// Between the opening of the file and the lock on it: its holder removes it, and another one takes a new one.
TEST(DirectoryLockTest, AFileThatHasNoNameAnyMoreIsNoLock) {
  const TemporaryDirectory names;
  const Directory directory = Directory::OpenPrivate(names.path(), Directory::IfMissing::kFail).value();
  std::optional<absl::StatusOr<DirectoryLock>> other;
  nearcall::testing::BeforeNextLock([&] {
    ASSERT_EQ(::unlink((names / ".lock").c_str()), 0);
    other.emplace(DirectoryLock::Acquire(directory, ".lock"));
  });
  const absl::Status error = DirectoryLock::Acquire(directory, ".lock", /*patience_ns=*/0).status();
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
  EXPECT_TRUE(other->ok());
}

TEST(DirectoryLockTest, IsFreeAgainAfterItsHolderWasKilled) {
  const TemporaryDirectory names;
  const Directory directory = Directory::OpenPrivate(names.path(), Directory::IfMissing::kFail).value();
  Event locked;
  Child holder([&] {
    const auto lock = DirectoryLock::Acquire(directory, ".lock");
    locked.Set();
    return ::pause();
  });
  locked.Wait();
  EXPECT_EQ(names.Entries().size(), 1u);
  holder.Kill();
  EXPECT_TRUE(DirectoryLock::Acquire(directory, ".lock").ok());
  EXPECT_THAT(names.Entries(), IsEmpty());
}

// It takes as long as the limit is.
TEST(DirectoryLockTest, AStoppedHolderHoldsUpNobodyForGood) {
  const TemporaryDirectory names;
  const Directory directory = Directory::OpenPrivate(names.path(), Directory::IfMissing::kFail).value();
  const auto stopped = DirectoryLock::Acquire(directory, ".lock");
  const absl::Status error = DirectoryLock::Acquire(directory, ".lock").status();
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr(names / ".lock"));
}

}  // namespace
}  // namespace nearcall::transport::testing
