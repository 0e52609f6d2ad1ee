// SPDX-License-Identifier: Apache-2.0
#include "transport/side_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "fuse_file.h"
#include "slow_to_close.h"

namespace nearcall::transport {
namespace {

using base::DescriptorBudget;
using base::Descriptors;
using base::Fd;
using testing::FuseFile;
using ::testing::HasSubstr;
using testing::NoMoreDescriptors;
using testing::OpenDescriptors;
using testing::SendDescriptors;
using testing::SlowToClose;
using testing::Soon;
using testing::SoonOpenDescriptors;

constexpr Letter kLetter = {.lane = 2, .count = 1, .lost = false, .sequence = 77, .call_id = 5};

// Bytes of a letter as PROTOCOL.md has them.
std::array<std::byte, 24> BytesOf(uint8_t lane, uint8_t count, uint8_t lost = 0, uint8_t reserved = 0) {
  std::array<std::byte, 24> bytes{};
  bytes[0] = std::byte{lane};
  bytes[1] = std::byte{count};
  bytes[2] = std::byte{lost};
  bytes[3] = std::byte{reserved};
  bytes[8] = std::byte{77};
  bytes[16] = std::byte{5};
  return bytes;
}

class SideSocketTest : public ::testing::Test {
 protected:
  explicit SideSocketTest(bool trusts_peer = false) {
    auto ends = SideSocket::MakePair(/*takes=*/true);
    EXPECT_TRUE(ends.ok()) << ends.status();
    own_fd_ = ends->first.get();
    peer_fd_ = ends->second.get();
    own_ = std::make_unique<SideSocket>(std::move(ends->first), trusts_peer);
    peer_ = std::make_unique<SideSocket>(std::move(ends->second), true);
  }

  absl::Status Receive() { return own_->Receive(budget_, letter_, received_); }
  void ExpectViolation(absl::string_view part) {
    const absl::Status status = Receive();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(part)));
    EXPECT_TRUE(received_.empty());
  }

  const Fd memory_{::memfd_create("test", MFD_CLOEXEC)};
  std::unique_ptr<SideSocket> own_;
  std::unique_ptr<SideSocket> peer_;
  int own_fd_;
  int peer_fd_;
  const std::shared_ptr<DescriptorBudget> budget_ = std::make_shared<DescriptorBudget>(nullptr);
  Letter letter_;
  Descriptors received_;
};

TEST_F(SideSocketTest, BringsDescriptorsOfTheSameFiles) {
  const std::array fds = {memory_.get(), memory_.get()};
  Letter letter = kLetter;
  letter.count = 2;
  ASSERT_TRUE(peer_->Send(letter, fds));
  ASSERT_TRUE(Receive().ok());
  EXPECT_EQ(letter_.lane, 2);
  EXPECT_EQ(letter_.count, 2);
  EXPECT_EQ(letter_.sequence, 77u);
  EXPECT_EQ(letter_.call_id, 5u);
  ASSERT_EQ(received_.fds().size(), 2u);
  ASSERT_EQ(::write(memory_.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::pread(received_.fds()[1], &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(::fcntl(received_.fds()[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(budget_->held(), 2u);
  // The program's: no longer counted.
  EXPECT_EQ(received_.Release().size(), 2u);
  EXPECT_EQ(budget_->held(), 0u);
}

TEST_F(SideSocketTest, IsTheLayoutOfTheProtocol) {
  ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(2, 1), 1, memory_.get()));
  ASSERT_TRUE(Receive().ok());
  EXPECT_EQ(letter_.lane, 2);
  EXPECT_EQ(letter_.sequence, 77u);
  EXPECT_EQ(letter_.call_id, 5u);
}

TEST_F(SideSocketTest, HoldsAFewLettersAndTellsWhenThereIsRoom) {
  std::atomic<int> told{0};
  ASSERT_TRUE(peer_->Watch([&] { ++told; }, nullptr).ok());
  size_t sent = 0;
  const int fd = memory_.get();
  while (peer_->Send(kLetter, {&fd, 1})) ++sent;
  EXPECT_GE(sent, 2u);
  EXPECT_LE(sent, 32u) << "they count for their user until they are taken";
  EXPECT_EQ(told, 0);
  for (size_t i = 0; i < sent; ++i) ASSERT_TRUE(Receive().ok());
  for (const base::SteadyNs until = Soon(); told == 0 && base::NowNs() < until;) ::poll(nullptr, 0, 1);
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(peer_->Send(kLetter, {&fd, 1}));
  peer_->EndWatch();
}

TEST_F(SideSocketTest, WhatCannotBePassedIsLost) {
  const int closed = 987'654;
  ASSERT_TRUE(peer_->Send(kLetter, {&closed, 1}));
  ASSERT_TRUE(peer_->Send(kLetter, {}));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Receive().ok());
    EXPECT_TRUE(letter_.lost);
    EXPECT_EQ(received_.refusal().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(received_.refusal().message(), HasSubstr("were lost"));
    EXPECT_TRUE(received_.fds().empty());
  }
}

TEST_F(SideSocketTest, WhoHasGoneTakesEverything) {
  own_.reset();
  const int fd = memory_.get();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(peer_->Send(kLetter, {&fd, 1}));
}

TEST_F(SideSocketTest, WhatWasSentBeforeTheEndIsThere) {
  const int fd = memory_.get();
  ASSERT_TRUE(own_->Send(kLetter, {&fd, 1})) << "the peer does not read it";
  ASSERT_TRUE(peer_->Send(kLetter, {&fd, 1}));
  peer_.reset();
  ASSERT_TRUE(Receive().ok());
  EXPECT_EQ(received_.fds().size(), 1u);
}

TEST_F(SideSocketTest, ALetterThatIsNotThere) {
  ExpectViolation("were not sent before it");
}

TEST_F(SideSocketTest, ALetterOfAnotherSize) {
  const auto bytes = BytesOf(2, 1);
  ASSERT_TRUE(SendDescriptors(peer_fd_, std::span(bytes).first(23), 1, memory_.get()));
  ExpectViolation("a letter has 23 bytes");
}

TEST_F(SideSocketTest, ALetterThatIsTooLong) {
  ASSERT_TRUE(SendDescriptors(peer_fd_, std::vector<std::byte>(100), 1, memory_.get()));
  ExpectViolation("a letter has 100 bytes");
}

TEST_F(SideSocketTest, ALaneThatIsNone) {
  ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(4, 1), 1, memory_.get()));
  ExpectViolation("a lane above 3");
}

TEST_F(SideSocketTest, AByteThatIsReserved) {
  ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(1, 1, 0, 1), 1, memory_.get()));
  ExpectViolation("a byte that is not 0");
}

struct Wrong {
  const char* name;
  uint8_t announced;
  size_t brought;
  uint8_t lost;
  const char* part;
};

class WrongCountTest : public SideSocketTest, public ::testing::WithParamInterface<Wrong> {};

TEST_P(WrongCountTest, EndsTheConnectionAndClosesAll) {
  const size_t before = OpenDescriptors();
  const Wrong& wrong = GetParam();
  if (wrong.brought == 0) {
    ASSERT_EQ(::send(peer_fd_, BytesOf(1, wrong.announced, wrong.lost).data(), 24, 0), 24);
  } else {
    ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(1, wrong.announced, wrong.lost), wrong.brought, memory_.get()));
  }
  ExpectViolation(wrong.part);
  EXPECT_TRUE(SoonOpenDescriptors(before));
}

INSTANTIATE_TEST_SUITE_P(, WrongCountTest,
                         ::testing::Values(Wrong{"None", 0, 1, 0, "announces 0 descriptors"},
                                           Wrong{"Seventeen", 17, 17, 0, "announces 17 descriptors"},
                                           Wrong{"OneTooFew", 3, 2, 0, "announces 3 descriptors and brings 2"},
                                           Wrong{"NoneOfOne", 1, 0, 0, "announces 1 descriptors and brings 0"},
                                           Wrong{"OneTooMany", 2, 3, 0, "announces 2 descriptors and brings 3"},
                                           Wrong{"MoreThanFit", 16, 40, 0, "brings 17 or more"},
                                           Wrong{"All", 16, 253, 0, "brings 17 or more"},
                                           Wrong{"LostAndThere", 1, 1, 1, "announces 0 descriptors and brings 1"}),
                         [](const auto& test) { return std::string(test.param.name); });

// --- descriptors whose close(2) takes as long as the peer likes ---

TEST_F(SideSocketTest, WhatIsSlowToCloseIsClosedElsewhere) {
  const size_t before = OpenDescriptors();
  SlowToClose slow;
  slow.Pass(Fd(::dup(peer_fd_)), own_fd_, BytesOf(1, 1));
  ASSERT_TRUE(Receive().ok());
  EXPECT_FALSE(slow.HoldsUp([&] { received_.Clear(); }));
  EXPECT_EQ(budget_->held(), 1u) << "it counts until it is closed";
  slow.Release();
  EXPECT_TRUE(SoonOpenDescriptors(before));
  for (const base::SteadyNs until = Soon(); budget_->held() != 0 && base::NowNs() < until;) ::poll(nullptr, 0, 1);
  EXPECT_EQ(budget_->held(), 0u);
}

TEST_F(SideSocketTest, WhatAFileSystemKeepsFromClosingIsClosedElsewhere) {
  const size_t before = OpenDescriptors();
  {
    FuseFile slow;
    if (!slow.valid()) GTEST_SKIP() << "NOT TESTED: no FUSE, or not for this user";
    ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(1, 3), 3, slow.fd().get()));
    ASSERT_TRUE(Receive().ok());
    const base::SteadyNs begun = base::NowNs();
    received_.Clear();
    EXPECT_LT(base::NowNs() - begun, 1'000'000'000);
    for (const base::SteadyNs until = Soon(); !slow.is_being_closed() && base::NowNs() < until;) ::poll(nullptr, 0, 1);
    EXPECT_TRUE(slow.is_being_closed());
    EXPECT_EQ(budget_->held(), 3u) << "they count until they are closed";
    slow.Release();
    for (const base::SteadyNs until = Soon(); budget_->held() != 0 && base::NowNs() < until;) ::poll(nullptr, 0, 1);
    EXPECT_EQ(budget_->held(), 0u);
  }
  EXPECT_TRUE(SoonOpenDescriptors(before));
}

TEST_F(SideSocketTest, TooManyThatAreSlowToCloseHoldUpNobody) {
  const size_t before = OpenDescriptors();
  SlowToClose slow;
  slow.PassLast(Fd(::dup(peer_fd_)), BytesOf(1, 16), 99);
  EXPECT_FALSE(slow.HoldsUp([&] { EXPECT_FALSE(Receive().ok()); }));
  // They are in the socket still.
  EXPECT_FALSE(slow.HoldsUp([&] { own_.reset(); }));
  slow.Release();
  peer_.reset();
  EXPECT_TRUE(SoonOpenDescriptors(before - 2));
}

TEST_F(SideSocketTest, WhatThereIsNoRoomForHoldsUpNobody) {
  const size_t before = OpenDescriptors();
  SlowToClose slow;
  slow.Pass(Fd(::dup(peer_fd_)), own_fd_, BytesOf(1, 8), 8);
  {
    const NoMoreDescriptors none(4);
    absl::Status status;
    EXPECT_FALSE(slow.HoldsUp([&] { status = Receive(); }));
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(status.message(), HasSubstr("RLIMIT_NOFILE"));
  }
  EXPECT_FALSE(slow.HoldsUp([&] { own_.reset(); }));
  slow.Release();
  peer_.reset();
  EXPECT_TRUE(SoonOpenDescriptors(before - 2));
}

class TrustingSideSocketTest : public SideSocketTest {
 protected:
  TrustingSideSocketTest() : SideSocketTest(/*trusts_peer=*/true) {}
};

TEST_F(TrustingSideSocketTest, WhatThereIsNoRoomForIsRefused) {
  const size_t before = OpenDescriptors();
  ASSERT_TRUE(SendDescriptors(peer_fd_, BytesOf(1, 8), 8, memory_.get()));
  const int fd = memory_.get();
  ASSERT_TRUE(peer_->Send(kLetter, {&fd, 1}));
  {
    const NoMoreDescriptors none(4);
    ASSERT_TRUE(Receive().ok());
  }
  EXPECT_THAT(received_.refusal().message(), HasSubstr("no descriptors left"));
  EXPECT_TRUE(received_.fds().empty());
  ASSERT_TRUE(Receive().ok()) << "the next one";
  EXPECT_EQ(received_.fds().size(), 1u);
  received_.Clear();
  EXPECT_TRUE(SoonOpenDescriptors(before));
}

// So many beyond it are refused and closed; if they cannot be closed, the connection ends.
TEST_F(SideSocketTest, OneThatIsOverItsUsersPart) {
  const base::Quota::Totals totals{.calls = 1, .bytes = 1, .places = 1, .descriptors = 16};
  const auto quota = std::make_shared<base::Quota>(totals, std::vector<uid_t>{}, 0);
  const std::shared_ptr<base::Account> account = quota->AccountOf(0);
  const auto budget = std::make_shared<DescriptorBudget>(account);
  const std::vector<int> eight(8, memory_.get());
  Letter letter = kLetter;
  letter.count = 8;
  const auto held = [&](size_t count) {
    for (const base::SteadyNs until = Soon(); budget->held() != count; ::poll(nullptr, 0, 1)) {
      if (base::NowNs() > until) return false;
    }
    return account->descriptors.taken().count() == count;
  };
  const auto receive = [&](Descriptors& received) {
    EXPECT_TRUE(peer_->Send(letter, eight));
    return own_->Receive(budget, letter_, received);
  };
  std::array<Descriptors, 2> kept;
  for (Descriptors& received : kept) EXPECT_TRUE(receive(received).ok() && received.refusal().ok());
  EXPECT_TRUE(held(16));
  SlowToClose slow;
  slow.Pass(Fd(::dup(peer_fd_)), own_fd_, BytesOf(1, 16), 16);
  Descriptors refused;
  EXPECT_FALSE(slow.HoldsUp([&] { EXPECT_TRUE(own_->Receive(budget, letter_, refused).ok()); }));
  ASSERT_THAT(refused.refusal().message(), HasSubstr("ServerOptions::max_total_descriptors"));
  EXPECT_TRUE(held(32)) << "they are not closed yet";
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(receive(refused).ok());
    EXPECT_FALSE(refused.refusal().ok());
    EXPECT_TRUE(held(32)) << "these have been";
  }
  SlowToClose other;
  other.Pass(Fd(::dup(peer_fd_)), own_fd_, BytesOf(1, 16), 16);
  EXPECT_TRUE(own_->Receive(budget, letter_, refused).ok());
  const absl::Status broken = receive(refused);
  EXPECT_EQ(broken.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(broken.message(), HasSubstr("neither taken nor closed"));
  kept = {};
  slow.Release();
  other.Release();
  EXPECT_TRUE(held(0));
}

TEST_F(SideSocketTest, AServerThatTakesNoneRefusesThemByTheKernel) {
  auto ends = SideSocket::MakePair(/*takes=*/false);
  ASSERT_TRUE(ends.ok());
  int rights = -1;
  socklen_t size = sizeof(rights);
  if (::getsockopt(ends->first.get(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &rights, &size) != 0) {
    GTEST_SKIP() << "NOT TESTED: a kernel before 6.16";
  }
  EXPECT_EQ(rights, 0);
  EXPECT_FALSE(SendDescriptors(ends->second.get(), BytesOf(1, 1), 1, memory_.get()));
}

TEST_F(SideSocketTest, OnlySuchASocketIsOne) {
  EXPECT_TRUE(SideSocket::Check(Fd(::dup(peer_fd_))).ok());
  EXPECT_FALSE(SideSocket::Check(memory_).ok());
}

}  // namespace
}  // namespace nearcall::transport
