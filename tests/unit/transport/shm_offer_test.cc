// SPDX-License-Identifier: Apache-2.0

// What is passed, what each side checks of it, and what the kernel forbids afterwards.

#include "transport/shm/shm_offer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/shared_memory.h"
#include "transport/shm/event_bell.h"
#include "transport/shm/layout.h"
#include "unit/transport/descriptors.h"
#include "unit/transport/passed.h"

namespace nearcall::transport::shm {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr size_t kRing = base::kMinRingSize;

base::Fd Memory(size_t size) {
  return *base::CreateSharedMemory(size);
}

// A server's offer, and a client that is no runtime but a program that does what it likes with what it was passed.
class ShmOfferTest : public ::testing::Test {
 protected:
  enum { kClientRegion, kServerRegion, kBell };

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<TransportOffer>> offer = OfferShm({.ring_size_bytes = kRing});
    ASSERT_TRUE(offer.ok()) << offer.status();
    offer_ = *std::move(offer);
    fds_ = Passed(*offer_);
  }

  // The client's answer to an offer in which one descriptor is another one.
  absl::Status AttachWith(size_t which, base::Fd fd) {
    std::vector<base::Fd> fds = Passed(*offer_);
    fds[which] = std::move(fd);
    return AttachShm(std::move(fds), offer_->geometry()).status();
  }

  absl::Status AttachWith(const Geometry& geometry) { return AttachShm(Passed(*offer_), geometry).status(); }

  // What an honest client does before it acknowledges.
  absl::Status Seal() { return base::SealAgainstWriters(fds_[kClientRegion]); }

  void Accept() {
    absl::StatusOr<std::unique_ptr<Transport>> server = offer_->Accept();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // 0, or the errno with which the kernel forbids it.
  int ErrnoOfMapping(size_t which) const {
    void* address = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds_[which].get(), 0);
    if (address == MAP_FAILED) return errno;
    ::munmap(address, 4096);
    return 0;
  }
  int ErrnoOfMappingAfterReopening(size_t which) const {
    base::Fd again(::open(absl::StrCat("/proc/self/fd/", fds_[which].get()).c_str(), O_RDWR | O_CLOEXEC));
    if (!again.valid()) return errno;
    void* address = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0);
    if (address == MAP_FAILED) return errno;
    ::munmap(address, 4096);
    return 0;
  }
  int ErrnoOfMakingWritable(size_t which) const {
    void* address = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fds_[which].get(), 0);
    const int error = ::mprotect(address, 4096, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
    ::munmap(address, 4096);
    return error;
  }
  int ErrnoOfWriting(size_t which) const { return ::pwrite(fds_[which].get(), "x", 1, 0) == 1 ? 0 : errno; }
  int ErrnoOfResizing(size_t which, off_t size) const { return ::ftruncate(fds_[which].get(), size) == 0 ? 0 : errno; }
  int ErrnoOfPunching(size_t which) const {
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return ::fallocate(fds_[which].get(), mode, 0, StatusOf(which).st_size) == 0 ? 0 : errno;
  }

  struct stat StatusOf(size_t which) const {
    struct stat file {};
    EXPECT_EQ(::fstat(fds_[which].get(), &file), 0);
    return file;
  }
  // "rw-s 00000000": how, and from where, this process has mapped it.
  std::vector<std::string> MappingsOf(size_t which) const {
    std::vector<std::string> found;
    std::ifstream maps("/proc/self/maps");
    std::string range, access, offset, device;
    ino_t inode = 0;
    std::string rest;
    while (maps >> range >> access >> offset >> device >> inode && std::getline(maps, rest)) {
      if (inode == StatusOf(which).st_ino && absl::StrContains(rest, "memfd:nearcall")) {
        found.push_back(absl::StrCat(access, " ", offset));
      }
    }
    return found;
  }

  std::unique_ptr<TransportOffer> offer_;
  std::unique_ptr<Transport> server_;
  std::vector<base::Fd> fds_;
};

TEST_F(ShmOfferTest, TheClientCanNeverWriteTheServersRegion) {
  EXPECT_EQ(ErrnoOfMapping(kServerRegion), EPERM);
  EXPECT_EQ(ErrnoOfMappingAfterReopening(kServerRegion), EPERM);
  EXPECT_EQ(ErrnoOfMakingWritable(kServerRegion), EACCES);
  EXPECT_EQ(ErrnoOfWriting(kServerRegion), EPERM);
  EXPECT_EQ(ErrnoOfPunching(kServerRegion), EPERM);
  EXPECT_EQ(ErrnoOfResizing(kServerRegion, 0), EPERM);
  EXPECT_EQ(ErrnoOfResizing(kServerRegion, 1 << 20), EPERM);
}

TEST_F(ShmOfferTest, AfterAttachNobodyWritesTheClientsRegionAnew) {
  EXPECT_EQ(ErrnoOfMapping(kClientRegion), 0);
  EXPECT_EQ(ErrnoOfResizing(kClientRegion, 0), EPERM);
  const auto client = AttachShm(Passed(*offer_), offer_->geometry());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(ErrnoOfMapping(kClientRegion), EPERM);
  EXPECT_EQ(ErrnoOfMappingAfterReopening(kClientRegion), EPERM);
  EXPECT_EQ(ErrnoOfWriting(kClientRegion), EPERM);
  EXPECT_EQ(ErrnoOfPunching(kClientRegion), EPERM);
  EXPECT_EQ(::fcntl(fds_[kClientRegion].get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST_F(ShmOfferTest, AClientThatHasNotSealedItsRegionIsRefused) {
  for (const int seals : {0, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL}) {
    SetUp();
    ASSERT_EQ(::fcntl(fds_[kClientRegion].get(), F_ADD_SEALS, seals), 0);
    const absl::Status status = offer_->Accept().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << seals;
    EXPECT_THAT(std::string(status.message()), HasSubstr("has not sealed"));
  }
}

TEST_F(ShmOfferTest, HolesThatTheClientPunchedBeforeAreFilledAgain) {
  ASSERT_EQ(ErrnoOfPunching(kClientRegion), 0);
  ASSERT_TRUE(Seal().ok());
  Accept();
  EXPECT_EQ(StatusOf(kClientRegion).st_blocks * 512, static_cast<blkcnt_t>(ClientRegionSize(kRing)));
}

// The server can be wrong too, or somebody to whom it had shown the memory before.
TEST_F(ShmOfferTest, HolesThatTheServerPunchedBeforeAreFilledByTheClient) {
  std::vector<base::Fd> fds = Passed(*offer_);
  fds[kServerRegion] = Memory(ServerRegionSize(kRing));
  fds_[kServerRegion] = base::Duplicate(fds[kServerRegion].get());
  ASSERT_EQ(ErrnoOfPunching(kClientRegion), 0);
  ASSERT_EQ(ErrnoOfPunching(kServerRegion), 0);
  ASSERT_TRUE(base::SealAgainstWriters(fds[kServerRegion]).ok());
  const auto client = AttachShm(std::move(fds), offer_->geometry());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(StatusOf(kClientRegion).st_blocks * 512, static_cast<blkcnt_t>(ClientRegionSize(kRing)));
  EXPECT_EQ(StatusOf(kServerRegion).st_blocks * 512, static_cast<blkcnt_t>(ServerRegionSize(kRing)));
}

TEST_F(ShmOfferTest, WhoPunchesHolesAllTheTimeLeavesNone) {
  for (int round = 0; round < 200; ++round) {
    SetUp();
    std::atomic<bool> begun{false};
    std::thread other([&] {
      while (ErrnoOfPunching(kClientRegion) == 0) begun = true;
    });
    while (!begun) std::this_thread::yield();
    const auto client = AttachShm(Passed(*offer_), offer_->geometry());
    other.join();
    ASSERT_TRUE(client.ok()) << client.status();
    ASSERT_EQ(StatusOf(kClientRegion).st_blocks * 512, static_cast<blkcnt_t>(ClientRegionSize(kRing))) << round;
  }
}

// What the other side writes nobody else can write, not even by mistake.
TEST_F(ShmOfferTest, TheServerMapsOnlyTheBellOfTheClientWritable) {
  ASSERT_TRUE(Seal().ok());
  Accept();
  EXPECT_THAT(MappingsOf(kServerRegion), UnorderedElementsAre("rw-s 00000000"));
  EXPECT_THAT(MappingsOf(kClientRegion), UnorderedElementsAre("r--s 00000000", "rw-s 00002000"));
}

TEST_F(ShmOfferTest, EachConnectionHasMemoryAndABellOfItsOwn) {
  const std::unique_ptr<TransportOffer> other = *OfferShm({.ring_size_bytes = kRing});
  for (const size_t which : {kClientRegion, kServerRegion}) {
    struct stat others {};
    ASSERT_EQ(::fstat(other->fds()[which], &others), 0);
    EXPECT_NE(StatusOf(which).st_ino, others.st_ino);
  }
  uint64_t count = 1;
  ASSERT_EQ(::write(other->fds()[kBell], &count, sizeof(count)), 8);
  EXPECT_EQ(::read(fds_[kBell].get(), &count, sizeof(count)), -1);
  EXPECT_EQ(errno, EAGAIN);
}

// Bytes and offsets of PROTOCOL.md, not of layout.h: a peer of another build relies on them.
TEST_F(ShmOfferTest, TheRegionsAreAsDocumented) {
  const std::unique_ptr<Transport> client = *AttachShm(Passed(*offer_), offer_->geometry());
  Accept();
  EXPECT_EQ(StatusOf(kClientRegion).st_size, 3 * 4096);
  EXPECT_EQ(StatusOf(kServerRegion).st_size, 2 * 4096);
  const auto word = [this](size_t which, off_t offset) {
    uint64_t value = 0;
    EXPECT_EQ(::pread(fds_[which].get(), &value, sizeof(value), offset), 8);
    return value;
  };
  EXPECT_FALSE(client->Arm(Transport::kFrames, 0));
  EXPECT_EQ(word(kClientRegion, 256), 1u << 2 | 1u) << "interest: the first sleep, for frames";
  EXPECT_EQ(word(kClientRegion, 264) & 0xffffffff, 0xffffffff) << "cpu: asleep";
  ASSERT_EQ(server_->Reserve(100, 1).size(), 100u);
  server_->Commit();
  server_->Notify();
  EXPECT_EQ(word(kServerRegion, 0), 128u) << "tail";
  EXPECT_EQ(word(kServerRegion, 4096), 0x00000001'00000064u) << "the first record";
  EXPECT_EQ(word(kClientRegion, 8192) & 0xffffffff, 1u) << "the bell";
  size_t size = 0;
  ASSERT_EQ(client->Peek(size), Transport::ReadState::kFrame);
  client->Pop();
  client->Release();
  EXPECT_EQ(word(kClientRegion, 128), 128u) << "head";
}

TEST_F(ShmOfferTest, AServerThatLeavesTheClientNothingToSealIsRefused) {
  ASSERT_EQ(::fcntl(fds_[kClientRegion].get(), F_ADD_SEALS, F_SEAL_SEAL), 0);
  const absl::Status status = AttachWith(offer_->geometry());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has sealed"));
}

TEST(IsRingSizeTest, ARingFillsPagesOfWhateverSize) {
  for (const size_t page_size : {size_t{4096}, size_t{16384}, size_t{65536}}) {
    EXPECT_TRUE(IsRingSize(page_size, page_size));
    EXPECT_TRUE(IsRingSize(2 * page_size, page_size));
    EXPECT_FALSE(IsRingSize(page_size / 2, page_size));
    EXPECT_TRUE(IsRingSize(base::kDefaultRingSize, page_size));
  }
}

TEST_F(ShmOfferTest, RingSizesThatCannotBeAreRefusedOnBothSides) {
  for (const size_t size : {size_t{0}, size_t{1}, kRing - 1, kRing + 64, kRing / 2, base::kMaxRingSize * 2}) {
    EXPECT_EQ(OfferShm({.ring_size_bytes = size}).status().code(), absl::StatusCode::kInvalidArgument) << size;
    EXPECT_EQ(AttachWith(Geometry{size, 0, 0, 0}).code(), absl::StatusCode::kInternal) << size;
  }
  EXPECT_EQ(AttachWith(Geometry{uint64_t{1} << 63, 0, 0, 0}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(Geometry{kRing, 0, 0, 1}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(Geometry{2 * kRing, 0, 0, 0}).code(), absl::StatusCode::kInternal) << "another size";
  EXPECT_EQ(AttachWith(offer_->geometry()), absl::OkStatus());
}

// Also if the memory is of the size that such a ring needs.
TEST_F(ShmOfferTest, ARingThatIsNoPowerOfTwoIsRefusedThoughItsMemoryFits) {
  for (const size_t size : {3 * kRing, kRing / 2, 5 * kRing}) {
    std::vector<base::Fd> fds = Passed(*offer_);
    fds[kClientRegion] = Memory(ClientRegionSize(size));
    fds[kServerRegion] = Memory(ServerRegionSize(size));
    ASSERT_TRUE(base::SealAgainstWriters(fds[kServerRegion]).ok());
    const absl::Status status = AttachShm(std::move(fds), {size, 0, 0, 0}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << size;
  }
}

TEST_F(ShmOfferTest, TheClientWantsThreeDescriptors) {
  std::vector<base::Fd> fds = Passed(*offer_);
  fds.pop_back();
  EXPECT_EQ(AttachShm(std::move(fds), offer_->geometry()).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachShm({}, offer_->geometry()).status().code(), absl::StatusCode::kInternal);
}

TEST_F(ShmOfferTest, TheClientTakesOnlyMemoryThatIsSealedAsItShouldBe) {
  EXPECT_EQ(AttachWith(kServerRegion, Memory(ServerRegionSize(kRing))).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(kClientRegion, Memory(ClientRegionSize(kRing) + 4096)).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(kClientRegion, base::Fd(::memfd_create("x", MFD_CLOEXEC))).code(), absl::StatusCode::kInternal);
  base::Fd read_only = Memory(ClientRegionSize(kRing));
  ASSERT_TRUE(base::SealAgainstWriters(read_only).ok());
  EXPECT_EQ(AttachWith(kClientRegion, std::move(read_only)).code(), absl::StatusCode::kInternal);
}

class ShmOfferKindTest : public ShmOfferTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(All, ShmOfferKindTest, ::testing::ValuesIn(testing::kDescriptorKinds), testing::NameOfKind);

TEST_P(ShmOfferKindTest, IsNeitherMemoryNorABell) {
  EXPECT_EQ(AttachWith(kClientRegion, testing::DescriptorOfKind(GetParam())).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(kServerRegion, testing::DescriptorOfKind(GetParam())).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(kBell, testing::DescriptorOfKind(GetParam())).code(), absl::StatusCode::kInternal);
}

// Nothing is in it, and somebody may still write.
TEST_F(ShmOfferTest, APipeIsNoBellAndIsNotWaitedFor) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  base::Fd read_end(ends[0]);
  const base::Fd write_end(ends[1]);
  EXPECT_EQ(AttachWith(kBell, std::move(read_end)).code(), absl::StatusCode::kInternal);
}

TEST(EventBellKind, AnEventFdIsOneInEveryState) {
  for (const int flags : {0, int{EFD_NONBLOCK}, int{EFD_SEMAPHORE}}) {
    base::Fd bell(::eventfd(0, flags | EFD_CLOEXEC));
    EXPECT_EQ(EventBell::Verify(bell), absl::OkStatus());
    const uint64_t full = ~uint64_t{0} - 1;
    ASSERT_EQ(::write(bell.get(), &full, sizeof(full)), 8);
    EXPECT_EQ(EventBell::Verify(bell), absl::OkStatus());
  }
}

}  // namespace
}  // namespace nearcall::transport::shm
