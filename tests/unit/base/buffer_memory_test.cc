// SPDX-License-Identifier: Apache-2.0
#include "base/buffer_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/limits.h"
#include "nearcall/buffer.h"
#include "support/no_more_descriptors.h"

namespace nearcall {
namespace {

using ::testing::HasSubstr;
using Memory = Buffer::Memory;

constexpr size_t kSize = base::kPassedFrom + 10;  // no multiple of a page

std::shared_ptr<base::Quota> MakeQuota(size_t bytes) {
  return std::make_shared<base::Quota>(base::Quota::Totals{.calls = 10, .bytes = bytes, .places = 1, .descriptors = 10},
                                       std::vector<uid_t>(), ::geteuid());
}

// As a peer makes it, rightly or wrongly.
base::Fd Memfd(size_t size, int seals, bool reserve = true) {
  base::Fd fd(::memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  if (reserve) {
    EXPECT_EQ(::fallocate(fd.get(), 0, 0, static_cast<off_t>(size)), 0);
  }
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

constexpr int kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

absl::Status OpenStatus(const base::Fd& fd, size_t size) {
  absl::Status status;
  for (const auto sender : {Memory::Sender::kOwnUser, Memory::Sender::kStranger}) {
    status.Update(Memory::Open(fd.get(), size, sender, nullptr).status());
  }
  return status;
}

void ExpectRefused(const base::Fd& fd, size_t size, absl::string_view part) {
  for (const auto sender : {Memory::Sender::kOwnUser, Memory::Sender::kStranger}) {
    const auto opened = Memory::Open(fd.get(), size, sender, nullptr);
    EXPECT_TRUE(absl::IsInternal(opened.status())) << opened.status();
    EXPECT_THAT(opened.status().message(), HasSubstr(part));
  }
}

TEST(BufferHandleTest, OfNoBytes) {
  for (Buffer buffer : {Buffer(), *Buffer::Allocate(0)}) {
    EXPECT_TRUE(buffer.empty() && buffer.bytes().empty() && buffer.mutable_bytes().empty());
    EXPECT_TRUE(buffer.Seal().ok());
    EXPECT_TRUE(buffer.sealed());
  }
}

TEST(BufferHandleTest, IsWrittenUntilItIsSealedAndStaysWhereItIs) {
  for (const size_t size : {size_t{10}, kSize}) {
    Buffer buffer = *Buffer::Allocate(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(buffer.bytes().back(), std::byte{0});
    const std::span<std::byte> written = buffer.mutable_bytes();
    std::memset(written.data(), 7, written.size());
    Buffer other = buffer;
    ASSERT_TRUE(buffer.Seal().ok());
    ASSERT_TRUE(buffer.Seal().ok()) << "again";
    EXPECT_TRUE(other.sealed());
    EXPECT_TRUE(other.mutable_bytes().empty());
    EXPECT_EQ(other.bytes().data(), written.data());
    EXPECT_EQ(other.bytes().size(), size);
    EXPECT_EQ(other.bytes()[size - 1], std::byte{7});
  }
}

TEST(BufferHandleTest, OnlyALargeOneCanBePassed) {
  EXPECT_EQ(Buffer::Allocate(base::kPassedFrom - 1)->memory()->fd(), -1);
  EXPECT_GE(Buffer::Allocate(base::kPassedFrom)->memory()->fd(), 0);
}

TEST(BufferHandleTest, TooMuchIsAClearError) {
  const absl::Status status = Buffer::Allocate(base::kMaxAttachmentBytes + 1).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(status.message(), HasSubstr("at most 2147483648 B"));
  const testing::NoMoreDescriptors none;
  EXPECT_TRUE(absl::IsResourceExhausted(Buffer::Allocate(kSize).status()));
}

// Nobody can write to it any more, whoever has its descriptor.
TEST(BufferHandleTest, SealedItIsForGood) {
  Buffer buffer = *Buffer::Allocate(kSize);
  const int fd = buffer.memory()->fd();
  ASSERT_TRUE(buffer.Seal().ok());
  EXPECT_EQ(::fcntl(fd, F_GET_SEALS) & kAllSeals, kAllSeals);
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(::mmap(nullptr, kSize, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_EQ(::ftruncate(fd, 0), -1);
  EXPECT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  EXPECT_TRUE(OpenStatus(base::Duplicate(fd), kSize).ok());
}

TEST(BufferHandleTest, WhatSomebodyElseMayWriteToIsNotSealed) {
  Buffer buffer = *Buffer::Allocate(kSize);
  buffer.mutable_bytes()[5] = std::byte{5};
  void* const other = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.memory()->fd(), 0);
  ASSERT_NE(other, MAP_FAILED);
  EXPECT_TRUE(absl::IsFailedPrecondition(buffer.Seal()));
  // It is as it was.
  EXPECT_FALSE(buffer.sealed());
  EXPECT_EQ(buffer.mutable_bytes()[5], std::byte{5});
  buffer.mutable_bytes()[5] = std::byte{6};
  EXPECT_EQ(static_cast<std::byte*>(other)[5], std::byte{6});
  ::munmap(other, kSize);
  EXPECT_TRUE(buffer.Seal().ok());
}

// In a child neither is anything of it, nor does it keep the parent from sealing.
TEST(BufferHandleTest, AChildHasNothingOfIt) {
  Buffer buffer = *Buffer::Allocate(kSize);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[1]);
    char byte;
    const ssize_t ended = ::read(ends[0], &byte, 1);
    buffer = Buffer();
    ::_exit(ended == 0 ? 0 : 1);
  }
  EXPECT_TRUE(buffer.Seal().ok());
  ::close(ends[0]);
  ::close(ends[1]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// --- of a peer ---

TEST(BufferMemoryTest, OpensWhatIsSealed) {
  const base::Fd fd = Memfd(kSize, kAllSeals);
  for (const auto sender : {Memory::Sender::kOwnUser, Memory::Sender::kStranger}) {
    const auto memory = Memory::Open(fd.get(), kSize, sender, nullptr);
    ASSERT_TRUE(memory.ok()) << memory.status();
    EXPECT_EQ((*memory)->bytes().size(), kSize);
    EXPECT_EQ(std::as_const(**memory).bytes()[kSize - 1], std::byte{0});
    EXPECT_TRUE((*memory)->sealed());
    EXPECT_EQ((*memory)->fd(), -1);
  }
}

TEST(BufferMemoryTest, UnsealedOrGrowingMemoryIsRefused) {
  for (const int missing : {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {
    ExpectRefused(Memfd(kSize, kAllSeals & ~missing), kSize, "shared memory with seals");
  }
  // A sender that keeps a mapping to write by.
  ExpectRefused(Memfd(kSize, (kAllSeals & ~F_SEAL_WRITE) | F_SEAL_FUTURE_WRITE), kSize, "shared memory with seals");
}

TEST(BufferMemoryTest, AnotherSizeIsRefused) {
  const base::Fd fd = Memfd(kSize, kAllSeals);
  ExpectRefused(fd, kSize - 1, "announced");
  ExpectRefused(fd, kSize + 1, "announced");
}

TEST(BufferMemoryTest, SparseMemoryIsRefused) {
  ExpectRefused(Memfd(kSize, kAllSeals, /*reserve=*/false), kSize, "sparse memory");
}

// Pages behind its end hide that it is: of a stranger each one is looked at, after it has been paid for.
TEST(BufferMemoryTest, WhatHidesThatItIsSparseIsPaidForBeforeItIsTouched) {
  base::Fd fd(::memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(fd.get(), kSize), 0);
  ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 2 * kSize, 2 * kSize), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, kAllSeals), 0);
  const auto quota = MakeQuota(kSize + base::kKeptMessageCost);
  const auto account = quota->AccountOf(::geteuid());
  struct stat before {};
  ASSERT_EQ(::fstat(fd.get(), &before), 0);
  base::Charge other;
  ASSERT_TRUE(other.TryTake(&account->memory, base::Amount::Of(0, 1)));
  const auto refused = Memory::Open(fd.get(), kSize, Memory::Sender::kStranger, account);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  struct stat after {};
  ASSERT_EQ(::fstat(fd.get(), &after), 0);
  EXPECT_EQ(before.st_blocks, after.st_blocks) << "a page has been touched that nobody has paid for";
  other.Release();
  const auto memory = Memory::Open(fd.get(), kSize, Memory::Sender::kStranger, account);
  ASSERT_TRUE(memory.ok()) << memory.status();
  ASSERT_EQ(::fstat(fd.get(), &after), 0);
  EXPECT_GE(static_cast<size_t>(after.st_blocks - before.st_blocks) * 512, kSize) << "a page may be missing later";
}

TEST(BufferMemoryTest, WhatIsNoMemoryIsNotEvenAsked) {
  ExpectRefused(base::Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), kSize, "not shared memory");
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const base::Fd one(ends[0]);
  const base::Fd other(ends[1]);
  ExpectRefused(one, kSize, "not shared memory");
}

TEST(BufferMemoryTest, IsPaidForAsLongAsItIsKept) {
  const base::Fd fd = Memfd(kSize, kAllSeals);
  auto quota = MakeQuota(2 * kSize);
  auto account = quota->AccountOf(::geteuid());
  const auto taken = [&] { return account->memory.taken().bytes(); };
  {
    const Buffer first(*Memory::Open(fd.get(), kSize, Memory::Sender::kOwnUser, account));
    const Buffer same = first;
    EXPECT_EQ(taken(), kSize + base::kKeptMessageCost);
    const std::string text = "copied";
    const Buffer copy(*Memory::Copy(std::as_bytes(std::span(text)), account));
    EXPECT_EQ(taken(), kSize + text.size() + 2 * base::kKeptMessageCost);
    EXPECT_EQ(copy.bytes()[5], std::byte{'d'});
    EXPECT_TRUE(copy.sealed());
    EXPECT_TRUE(absl::IsResourceExhausted(Memory::Open(fd.get(), kSize, Memory::Sender::kOwnUser, account).status()));
  }
  EXPECT_EQ(taken(), 0u);
  // It may be the last that knows of its quota.
  const Buffer last(*Memory::Open(fd.get(), kSize, Memory::Sender::kOwnUser, account));
  account.reset();
  quota.reset();
}

}  // namespace
}  // namespace nearcall
