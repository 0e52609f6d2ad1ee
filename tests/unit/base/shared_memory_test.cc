// SPDX-License-Identifier: Apache-2.0
#include "base/shared_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "os/child.h"
#include "support/refused_call.h"
#include "support/sanitizers.h"

namespace nearcall::base {
namespace {

using ::testing::HasSubstr;

const size_t kSize = 4 * PageSize();

Fd Create(size_t size = kSize) {
  absl::StatusOr<Fd> fd = CreateSharedMemory(size);
  EXPECT_TRUE(fd.ok()) << fd.status();
  return *std::move(fd);
}

Mapping Map(const Fd& fd, Mapping::Access access = Mapping::Access::kReadWrite) {
  absl::StatusOr<Mapping> mapping = Mapping::Map(fd, 0, kSize, access);
  EXPECT_TRUE(mapping.ok()) << mapping.status();
  return *std::move(mapping);
}

bool CanMapWritable(const Fd& fd) {
  return Mapping::Map(fd, 0, kSize, Mapping::Access::kReadWrite).ok();
}

bool CanPunchHole(const Fd& fd) {
  return ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(PageSize())) == 0;
}

size_t ReservedBytes(const Fd& fd) {
  struct stat file {};
  ::fstat(fd.get(), &file);
  return static_cast<size_t>(file.st_blocks) * 512;
}

std::string Refusal(const Fd& fd, bool sealed_against_writers = false) {
  const absl::Status status = VerifySharedMemory(fd, kSize, sealed_against_writers);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  return std::string(status.message());
}

// MADV_POPULATE_READ fails so. For a child process.
void RefuseToPopulate(int error) {
  testing::RefuseSystemCalls({.number = SYS_madvise, .argument = 2, .mask = 0xffffffff, .value = 22}, error);
}

// --- creation and its seals ---

TEST(SharedMemoryTest, IsReservedZeroedAndNotExecutable) {
  const Fd fd = Create();
  EXPECT_EQ(ReservedBytes(fd), kSize);
  const Mapping mapping = Map(fd);
  for (const std::byte byte : mapping.bytes()) ASSERT_EQ(byte, std::byte{0});
  struct stat file {};
  ASSERT_EQ(::fstat(fd.get(), &file), 0);
  constexpr unsigned int kNoExecSeal = 0x8;  // MFD_NOEXEC_SEAL, Linux 6.3
  const bool is_known = Fd(::memfd_create("test", kNoExecSeal)).valid();
  EXPECT_TRUE(!is_known || (file.st_mode & 0111) == 0);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(SharedMemoryTest, NeitherGrowsNorShrinks) {
  const Fd fd = Create();
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(2 * kSize)), -1);
  EXPECT_EQ(::ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(::fallocate(fd.get(), 0, 0, static_cast<off_t>(2 * kSize)), -1);
}

TEST(SharedMemoryTest, MoreThanTheLimitIsRefusedBeforeTheKernelIsAsked) {
  const absl::Status status = CreateSharedMemory(kMaxSharedMemorySize + PageSize()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at most 33554432 B"));
}

// The kernel would not only refuse, but raise a signal that ends the process (setrlimit(2)).
TEST(SharedMemoryTest, MoreThanTheLimitOfFileSizesIsRefusedWithoutASignal) {
  testing::Child child([] {
    const rlimit limit{.rlim_cur = kSize, .rlim_max = kSize};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    if (!CreateSharedMemory(kSize).ok()) return 1;
    const absl::Status status = CreateSharedMemory(kSize + PageSize()).status();
    if (!absl::IsResourceExhausted(status)) return 2;
    return absl::StrContains(status.message(), absl::StrCat("RLIMIT_FSIZE is ", kSize, " B; raise it")) ? 0 : 3;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(SharedMemoryTest, WithoutDescriptorsTheLimitIsNamed) {
  if (testing::kSanitizers) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  const auto create = [] {
    const rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const absl::Status status = CreateSharedMemory(kSize).status();
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    ::_exit(absl::IsResourceExhausted(status) ? 0 : 1);
  };
  EXPECT_EXIT(create(), ::testing::ExitedWithCode(0), "RLIMIT_NOFILE is 3");
}

// A kernel that knows no MFD_NOEXEC_SEAL, before 6.3.
TEST(SharedMemoryTest, IsMadeByAKernelThatDoesNotKnowTheFlag) {
  const auto create = [] {
    testing::RefuseSystemCalls({.number = SYS_memfd_create, .argument = 1, .mask = 8, .value = 8}, EINVAL);
    const absl::StatusOr<Fd> fd = CreateSharedMemory(kSize);
    ::_exit(fd.ok() && VerifySharedMemory(*fd, kSize, false).ok() ? 0 : 1);
  };
  EXPECT_EXIT(create(), ::testing::ExitedWithCode(0), "");
}

TEST(SharedMemoryTest, WithoutMemoryTheLimitIsNamed) {
  const auto create = [] {
    testing::RefuseSystemCalls({.number = SYS_fallocate, .argument = 1, .mask = 0, .value = 0}, ENOSPC);
    const absl::Status status = CreateSharedMemory(kSize).status();
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    ::_exit(absl::IsResourceExhausted(status) ? 0 : 1);
  };
  EXPECT_EXIT(create(), ::testing::ExitedWithCode(0), "cannot reserve .* no memory; RLIMIT_AS is ");
}

TEST(SharedMemoryTest, AHolePunchedBeforeTheLastSealIsFilledAgain) {
  for (const auto access : {Mapping::Access::kRead, Mapping::Access::kReadWrite}) {
    const Fd fd = Create();
    const Mapping mapping = Map(fd, access);
    ASSERT_TRUE(CanPunchHole(fd));
    EXPECT_LT(ReservedBytes(fd), kSize);
    ASSERT_TRUE(SealAgainstWriters(fd).ok());
    EXPECT_EQ(mapping.Populate(), absl::OkStatus());
    EXPECT_EQ(ReservedBytes(fd), kSize);
  }
}

// Before Linux 5.14.
TEST(SharedMemoryTest, HolesAreFilledByAKernelThatDoesNotKnowTheAdvice) {
  const Fd fd = Create(200 * PageSize());
  const auto populate = [&] {
    RefuseToPopulate(EINVAL);
    const auto mapping = Mapping::Map(fd, 0, 200 * PageSize(), Mapping::Access::kRead);
    for (const off_t page : {0, 1, 63, 64, 65, 127, 128, 198, 199}) {
      const auto size = static_cast<off_t>(PageSize());
      ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * size, size);
    }
    const bool has_holes = ReservedBytes(fd) < 200 * PageSize();
    ::_exit(has_holes && mapping->Populate().ok() && ReservedBytes(fd) == 200 * PageSize() ? 0 : 1);
  };
  EXPECT_EXIT(populate(), ::testing::ExitedWithCode(0), "");
}

// What a peer lends need not end where a page does.
TEST(SharedMemoryTest, NorIsTheLastPageForgottenOfWhichOnlyAPartIsMapped) {
  const size_t size = 65 * PageSize() + 1;
  const auto populate = [&] {
    RefuseToPopulate(EINVAL);
    const Fd file(::memfd_create("test", MFD_CLOEXEC));
    if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) ::_exit(2);
    const auto mapping = Mapping::MapSealed(file.get(), size);
    const bool was_sparse = ReservedBytes(file) == 0;
    ::_exit(was_sparse && mapping->Populate().ok() && ReservedBytes(file) == 66 * PageSize() ? 0 : 1);
  };
  EXPECT_EXIT(populate(), ::testing::ExitedWithCode(0), "");
}

TEST(SharedMemoryTest, AHoleForWhichThereIsNoMemoryIsNoSignal) {
  for (const int error : {EFAULT, ENOMEM}) {
    const auto populate = [&] {
      const Fd fd = Create();
      const Mapping mapping = Map(fd);
      RefuseToPopulate(error);
      const absl::Status status = mapping.Populate();
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      ::_exit(absl::IsResourceExhausted(status) ? 0 : 1);
    };
    EXPECT_EXIT(populate(), ::testing::ExitedWithCode(0), "cannot make sure of .* no memory");
  }
}

// Not by a simulation: a page beyond the end of the file is missing for good.
TEST(SharedMemoryTest, APageThatCannotBeThereIsNoSignal) {
  const Fd file(::memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(kSize)), 0);
  const Mapping mapping = Map(file);
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(PageSize())), 0);
  EXPECT_EQ(mapping.Populate().code(), absl::StatusCode::kResourceExhausted);
  const auto on_an_old_kernel = [&] {
    RefuseToPopulate(EINVAL);
    ::_exit(absl::IsResourceExhausted(Map(file).Populate()) ? 0 : 1);
  };
  EXPECT_EXIT(on_an_old_kernel(), ::testing::ExitedWithCode(0), "");
}

TEST(SharedMemoryTest, SealedAgainstWritersOnlyMappingsThatExistMayWrite) {
  const Fd fd = Create();
  const Mapping writer = Map(fd);
  ASSERT_TRUE(CanMapWritable(fd));
  ASSERT_TRUE(SealAgainstWriters(fd).ok());
  EXPECT_FALSE(CanMapWritable(fd));
  EXPECT_EQ(::pwrite(fd.get(), "x", 1, 0), -1);
  const Mapping reader = Map(fd, Mapping::Access::kRead);
  EXPECT_EQ(::mprotect(reader.bytes().data(), kSize, PROT_READ | PROT_WRITE), -1);
  writer.bytes()[5] = std::byte{7};
  EXPECT_EQ(reader.bytes()[5], std::byte{7});
}

TEST(SharedMemoryTest, SealedAgainstWritersNobodyPunchesHoles) {
  const Fd fd = Create();
  const Mapping writer = Map(fd);
  ASSERT_TRUE(SealAgainstWriters(fd).ok());
  EXPECT_FALSE(CanPunchHole(fd));
  EXPECT_EQ(::madvise(writer.bytes().data(), kSize, MADV_REMOVE), -1);
}

TEST(SharedMemoryTest, NoSealCanBeAddedAfterTheLast) {
  const Fd fd = Create();
  ASSERT_TRUE(SealAgainstWriters(fd).ok());
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(SharedMemoryTest, WhetherAPeerHasSealedIsLookedAt) {
  const Fd fd = Create();
  EXPECT_EQ(VerifySealedAgainstWriters(fd).code(), absl::StatusCode::kInternal);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  EXPECT_EQ(VerifySealedAgainstWriters(fd).code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(SealAgainstWriters(fd).ok());
  EXPECT_EQ(VerifySealedAgainstWriters(fd), absl::OkStatus());
  EXPECT_EQ(VerifySealedAgainstWriters(Fd()).code(), absl::StatusCode::kInternal);
}

TEST(SharedMemoryTest, APeersOwnSealIsItsFault) {
  const Fd fd = Create();
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL), 0);
  EXPECT_EQ(SealAgainstWriters(fd).code(), absl::StatusCode::kInternal);
}

// --- what a receiver checks ---

TEST(SharedMemoryTest, VerifyTakesWhatWeMake) {
  const Fd fd = Create();
  EXPECT_EQ(VerifySharedMemory(fd, kSize, false), absl::OkStatus());
  EXPECT_THAT(Refusal(fd, true), HasSubstr("seals"));
  ASSERT_TRUE(SealAgainstWriters(fd).ok());
  EXPECT_EQ(VerifySharedMemory(fd, kSize, true), absl::OkStatus());
}

TEST(SharedMemoryTest, VerifyRefusesAnotherSize) {
  const Fd fd = Create(2 * kSize);
  EXPECT_THAT(Refusal(fd), HasSubstr("announced"));
}

TEST(SharedMemoryTest, VerifyRefusesAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd read_end(ends[0]), write_end(ends[1]);
  EXPECT_THAT(Refusal(read_end), HasSubstr("not shared memory"));
}

TEST(SharedMemoryTest, VerifyRefusesAFile) {
  std::string path = ::testing::TempDir() + "nearcall-shared-memory-XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  ASSERT_TRUE(fd.valid());
  ::unlink(path.c_str());
  ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(kSize)), 0);
  Refusal(fd);
}

TEST(SharedMemoryTest, VerifyRefusesAMemfdThatCanShrinkOrGrow) {
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_GROW}) {
    const Fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(kSize)), 0);
    ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    EXPECT_THAT(Refusal(fd), HasSubstr("seals"));
  }
}

// Sealed as it should be, and of the size announced: but the kernel may have none of it when it is touched.
TEST(SharedMemoryTest, VerifyRefusesHugePages) {
  const Fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!fd.valid()) GTEST_SKIP() << "NOT TESTED: this system has no huge pages";
  struct stat file {};
  ASSERT_EQ(::fstat(fd.get(), &file), 0);
  const auto page = static_cast<size_t>(file.st_blksize);
  ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(page)), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  const absl::Status status = VerifySharedMemory(fd, page, false);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unexpected kind"));
}

TEST(SharedMemoryTest, VerifyRefusesNothing) {
  Refusal(Fd());
}

// --- mappings ---

TEST(MappingTest, TwoMappingsShareMemory) {
  const Fd fd = Create();
  const Mapping one = Map(fd), other = Map(fd, Mapping::Access::kRead);
  one.bytes()[kSize - 1] = std::byte{9};
  EXPECT_EQ(other.bytes()[kSize - 1], std::byte{9});
}

TEST(MappingTest, MapsAPart) {
  const Fd fd = Create();
  const Mapping whole = Map(fd);
  whole.bytes()[2 * PageSize()] = std::byte{5};
  const auto part = Mapping::Map(fd, 2 * PageSize(), PageSize(), Mapping::Access::kRead);
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->bytes().size(), PageSize());
  EXPECT_EQ(part->bytes()[0], std::byte{5});
}

TEST(MappingTest, MovesWithoutUnmapping) {
  const Fd fd = Create();
  Mapping from = Map(fd);
  Mapping to(std::move(from));
  EXPECT_TRUE(from.bytes().empty());
  to.bytes()[0] = std::byte{1};
  from = std::move(to);
  EXPECT_EQ(from.bytes()[0], std::byte{1});
}

bool IsMapped(std::span<std::byte> bytes) {
  return ::msync(bytes.data(), bytes.size(), MS_ASYNC) == 0;
}

TEST(MappingTest, UnmapsAtTheEnd) {
  const Fd fd = Create();
  std::span<std::byte> bytes;
  {
    const Mapping mapping = Map(fd);
    bytes = mapping.bytes();
    EXPECT_TRUE(IsMapped(bytes));
  }
  EXPECT_FALSE(IsMapped(bytes));
}

TEST(MappingTest, IsNotInheritedAndAChildUnmapsNothing) {
  const Fd fd = Create();
  Mapping mapping = Map(fd);
  const auto in_child = [&] {
    if (IsMapped(mapping.bytes())) ::_exit(1);
    // Something of the child's own stands at the same address now.
    const std::span<std::byte> place = mapping.bytes();
    ::mmap(place.data(), kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    { const Mapping moved = std::move(mapping); }
    ::_exit(IsMapped(place) ? 0 : 2);
  };
  const pid_t child = ::fork();
  if (child == 0) in_child();
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace nearcall::base
