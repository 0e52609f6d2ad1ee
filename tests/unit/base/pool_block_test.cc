// SPDX-License-Identifier: Apache-2.0
#include "base/pool_block.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/lent_blocks.h"
#include "base/limits.h"
#include "base/proc_path.h"
#include "base/quota.h"
#include "support/no_more_descriptors.h"

namespace nearcall::base {
namespace {

constexpr size_t kSize = size_t{1} << 20;

std::unique_ptr<PoolBlock> MakeBlock(size_t size = kSize) {
  absl::StatusOr<std::unique_ptr<PoolBlock>> block = PoolBlock::Create(size);
  EXPECT_TRUE(block.ok()) << block.status();
  return block.ok() ? *std::move(block) : nullptr;
}

int SetLock(int fd, short type) {
  struct flock lock {};
  lock.l_type = type;
  return ::fcntl(fd, F_OFD_SETLK, &lock);
}

TEST(PoolBlockTest, IsIdleWhenNobodyHasALease) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  EXPECT_TRUE(block->idle());
  Fd lease = block->Lease();
  ASSERT_TRUE(lease.valid());
  EXPECT_FALSE(block->idle());
  Fd same = Duplicate(lease.get());
  Fd other = block->Lease();
  lease.Reset();
  same.Reset();
  EXPECT_FALSE(block->idle()) << "there is the other one";
  other.Reset();
  EXPECT_TRUE(block->idle());
}

TEST(PoolBlockTest, AMappingOfALeaseIsOne) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  Fd lease = block->Lease();
  void* const mapped = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, lease.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  lease.Reset();
  EXPECT_FALSE(block->idle());
  ::munmap(mapped, kSize);
  EXPECT_TRUE(block->idle());
}

TEST(PoolBlockTest, ALeaseEndsWithItsProcess) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  Fd lease = block->Lease();
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  lease.Reset();
  EXPECT_FALSE(block->idle()) << "the child has it";
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(block->idle());
}

// Whatever one does with his.
TEST(PoolBlockTest, NobodyEndsTheLeaseOfAnother) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  const Fd one = block->Lease();
  const Fd other = block->Lease();
  EXPECT_EQ(SetLock(other.get(), F_UNLCK), 0);
  EXPECT_FALSE(block->idle());
  EXPECT_EQ(SetLock(other.get(), F_WRLCK), -1);
}

TEST(PoolBlockTest, NobodyElseWrites) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  const Fd lease = block->Lease();
  const Fd again(::open(ProcPath(lease).c_str(), O_RDWR | O_CLOEXEC));
  for (const int fd : {lease.get(), again.get()}) {
    EXPECT_EQ(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
    EXPECT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize), -1);
    EXPECT_EQ(::ftruncate(fd, 0), -1);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  }
  std::memset(block->bytes().data(), 7, kSize);
}

// It may have opened it anew, and locked it. Then nobody has a lease; the block is not used any more.
TEST(PoolBlockTest, IsNotLentWhereSomebodyHasLockedIt) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  Fd rude(::open(ProcPath(block->Lease()).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(rude.valid());
  ASSERT_EQ(SetLock(rude.get(), F_WRLCK), 0);
  EXPECT_FALSE(block->Lease().valid());
  EXPECT_FALSE(block->idle());
  rude.Reset();
  EXPECT_TRUE(block->Lease().valid());
}

TEST(PoolBlockTest, NeedsADescriptorForEachLease) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  const testing::NoMoreDescriptors none;
  EXPECT_FALSE(block->Lease().valid());
  EXPECT_EQ(PoolBlock::Create(kSize).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(LentBlocksTest, ABlockIsMappedOnceAndItsMappingIsNoLease) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  LentBlocks blocks(nullptr);
  Fd first = block->Lease();
  Fd second = block->Lease();
  const auto one = blocks.Find(first.get(), kSize);
  const auto same = blocks.Find(second.get(), 1000);
  ASSERT_TRUE(one.ok() && same.ok());
  EXPECT_EQ((*one)->bytes().data(), (*same)->bytes().data());
  block->bytes()[5] = std::byte{9};
  EXPECT_EQ((*one)->bytes()[5], std::byte{9});
  first.Reset();
  second.Reset();
  EXPECT_TRUE(block->idle());
}

TEST(LentBlocksTest, KeepsTheLatest) {
  LentBlocks blocks(nullptr);
  const std::unique_ptr<PoolBlock> first = MakeBlock();
  std::weak_ptr<const LentBlock> known = *blocks.Find(first->Lease().get(), kSize);
  const auto see_others = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) ASSERT_TRUE(blocks.Find(MakeBlock(kMinPassed)->Lease().get(), 1).ok());
  };
  see_others(kMaxLentBlocks - 1);
  ASSERT_TRUE(blocks.Find(first->Lease().get(), kSize).ok());
  EXPECT_FALSE(known.expired()) << "it is the latest again";
  see_others(kMaxLentBlocks - 1);
  EXPECT_FALSE(known.expired());
  see_others(1);
  EXPECT_TRUE(known.expired());
}

TEST(LentBlocksTest, OnlyMemoryOfAPool) {
  LentBlocks blocks(nullptr);
  const auto refusal = [&](int fd, size_t size) { return blocks.Find(fd, size).status(); };
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(absl::IsInternal(refusal(null.get(), 1)));
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  EXPECT_TRUE(absl::IsInternal(refusal(block->Lease().get(), kSize + 1))) << "it has not so much";
  constexpr int kSeals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};
  for (const int missing : kSeals) {
    const Fd memory(::memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(memory.get(), kSize), 0);
    for (const int seal : kSeals) {
      if (seal == missing) continue;
      ASSERT_EQ(::fcntl(memory.get(), F_ADD_SEALS, seal), 0);
    }
    EXPECT_TRUE(absl::IsInternal(refusal(memory.get(), kSize))) << missing;
  }
  const Fd huge(::memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(huge.get(), static_cast<off_t>(kMaxAttachmentBytes + PageSize())), 0);
  ASSERT_EQ(::fcntl(huge.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
  EXPECT_TRUE(absl::IsInternal(refusal(huge.get(), kSize)));
}

TEST(LentBlocksTest, TheSenderPaysForWhatIsMapped) {
  const auto quota =
      std::make_shared<Quota>(Quota::Totals{.calls = 10, .bytes = 3 * kSize, .places = 1, .descriptors = 10},
                              std::vector<uid_t>(), ::geteuid());
  const std::shared_ptr<Account> account = quota->AccountOf(::geteuid());
  {
    LentBlocks blocks(account);
    const std::unique_ptr<PoolBlock> one = MakeBlock(2 * kSize);
    ASSERT_TRUE(blocks.Find(one->Lease().get(), 1).ok());
    ASSERT_TRUE(blocks.Find(one->Lease().get(), 1).ok()) << "nothing more";
    EXPECT_EQ(account->memory.taken().bytes(), 2 * kSize + kKeptMessageCost);
    EXPECT_TRUE(absl::IsResourceExhausted(blocks.Find(MakeBlock()->Lease().get(), 1).status()));
  }
  EXPECT_EQ(account->memory.taken().bytes(), 0u);
}

// Then each mapping is a lease, and none is kept.
TEST(LentBlocksTest, WithoutADescriptorToSpareNothingIsKept) {
  const std::unique_ptr<PoolBlock> block = MakeBlock();
  LentBlocks blocks(nullptr);
  Fd lease = block->Lease();
  std::shared_ptr<const LentBlock> mapped;
  {
    const testing::NoMoreDescriptors none;
    auto found = blocks.Find(lease.get(), kSize);
    ASSERT_TRUE(found.ok());
    mapped = *std::move(found);
  }
  lease.Reset();
  EXPECT_FALSE(block->idle());
  mapped.reset();
  EXPECT_TRUE(block->idle());
}

}  // namespace
}  // namespace nearcall::base
