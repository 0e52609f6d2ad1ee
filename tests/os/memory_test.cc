// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/fd.h"
#include "os/child.h"

// Shared memory that only one side can write (memfd_create(2), fcntl(2) "File Sealing").
namespace nearcall::testing {
namespace {

using base::Fd;

constexpr size_t kSize = 16384;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

Fd CreateMemfd() {
  Fd fd(::memfd_create("os-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), kSize), 0);
  return fd;
}

bool Seal(const Fd& fd, int seals) {
  return ::fcntl(fd.get(), F_ADD_SEALS, seals) == 0;
}

// A mapping for the length of a test.
class Map {
 public:
  Map(const Fd& fd, int protection) : data_(::mmap(nullptr, kSize, protection, MAP_SHARED, fd.get(), 0)) {}
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  ~Map() {
    if (ok()) ::munmap(data_, kSize);
  }
  bool ok() const { return data_ != MAP_FAILED; }
  volatile char& operator[](size_t at) const { return static_cast<volatile char*>(data_)[at]; }
  void* data() const { return data_; }

 private:
  void* data_;
};

TEST(MemoryTest, FutureWriteSealKeepsTheWritableMappingThatExists) {
  const Fd fd = CreateMemfd();
  const Map writer(fd, PROT_READ | PROT_WRITE);
  ASSERT_TRUE(Seal(fd, F_SEAL_FUTURE_WRITE));
  const Map reader(fd, PROT_READ);
  writer[3] = 'x';
  EXPECT_EQ(reader[3], 'x');
}

TEST(MemoryTest, FutureWriteSealRefusesEveryOtherWayToWrite) {
  const Fd fd = CreateMemfd();
  ASSERT_TRUE(Seal(fd, F_SEAL_FUTURE_WRITE));
  EXPECT_FALSE(Map(fd, PROT_READ | PROT_WRITE).ok());
  EXPECT_EQ(::pwrite(fd.get(), "x", 1, 0), -1);
  const Map reader(fd, PROT_READ);
  EXPECT_EQ(::mprotect(reader.data(), kSize, PROT_READ | PROT_WRITE), -1);
  const Fd again(::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(Map(again, PROT_READ | PROT_WRITE).ok());
}

TEST(MemoryTest, FutureWriteSealRefusesHoles) {
  const Fd fd = CreateMemfd();
  const auto punch = [&] { return ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize); };
  const Map writer(fd, PROT_READ | PROT_WRITE);
  ASSERT_TRUE(Seal(fd, kSizeSeals));
  EXPECT_EQ(punch(), 0);  // the seals of the size alone do not help
  ASSERT_TRUE(Seal(fd, F_SEAL_FUTURE_WRITE));
  EXPECT_EQ(punch(), -1);
  EXPECT_EQ(::madvise(writer.data(), kSize, MADV_REMOVE), -1);
}

TEST(MemoryTest, MemoryCanBeReservedAfterTheLastSeal) {
  const Fd fd = CreateMemfd();
  ASSERT_TRUE(Seal(fd, kSizeSeals | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
  EXPECT_EQ(::fallocate(fd.get(), 0, 0, kSize), 0);
}

TEST(MemoryTest, APeersSealOfSealsRefusesOurs) {
  const Fd fd = CreateMemfd();
  ASSERT_TRUE(Seal(fd, F_SEAL_SEAL));
  EXPECT_FALSE(Seal(fd, F_SEAL_FUTURE_WRITE));
  EXPECT_EQ(errno, EPERM);
}

TEST(MemoryTest, DontForkMemoryIsAbsentInTheChild) {
  const Fd fd = CreateMemfd();
  const Map map(fd, PROT_READ);
  const auto is_mapped = [&] { return ::msync(map.data(), kSize, MS_ASYNC) == 0; };
  EXPECT_TRUE(Child(is_mapped).Wait());
  ASSERT_EQ(::madvise(map.data(), kSize, MADV_DONTFORK), 0);
  EXPECT_TRUE(is_mapped());
  EXPECT_FALSE(Child(is_mapped).Wait());
}

}  // namespace
}  // namespace nearcall::testing
