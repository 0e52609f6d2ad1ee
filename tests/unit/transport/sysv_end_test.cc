// SPDX-License-Identifier: Apache-2.0

// What is left of a connection, and who removes it: a System V queue outlives those who use it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "passed.h"
#include "sysv.h"
#include "transport/sysv/journal.h"
#include "transport/sysv/process.h"
#include "transport/sysv/sysv_offer.h"

namespace nearcall::transport::sysv {
namespace {

using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

// A number that some process had.
pid_t DeadPid() {
  testing::Child child([] { return 0; });
  const pid_t pid = child.pid();
  child.Wait();
  return pid;
}

class SysvEndTest : public ::testing::Test {
 protected:
  void Connect(pid_t client = ::getpid()) {
    PeerIdentity peer = Self();
    peer.pid = client;
    const auto offer = *OfferSysv({}, peer);
    to_server_ = static_cast<QueueId>(offer->geometry()[0]);
    to_client_ = static_cast<QueueId>(offer->geometry()[1]);
    client_ = *AttachSysv(Passed(*offer), offer->geometry(), Self());
    server_ = *offer->Accept();
  }

  void ExpectNothingLeft() {
    EXPECT_FALSE(Exists(to_server_));
    EXPECT_FALSE(Exists(to_client_));
    EXPECT_THAT(names_.Entries(), IsEmpty());
  }

  testing::NameDirectory names_;
  QueueId to_server_ = kNoQueue;
  QueueId to_client_ = kNoQueue;
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(SysvEndTest, NothingIsLeftOfAnOfferThatNobodyTook) {
  auto offer = *OfferSysv({}, Self());
  to_server_ = static_cast<QueueId>(offer->geometry()[0]);
  to_client_ = static_cast<QueueId>(offer->geometry()[1]);
  EXPECT_TRUE(Exists(to_server_));
  EXPECT_THAT(names_.Entries(), SizeIs(1));
  offer.reset();
  ExpectNothingLeft();
}

TEST_F(SysvEndTest, NothingIsLeftWhicheverEndGoesFirst) {
  Connect();
  client_.reset();
  server_.reset();
  ExpectNothingLeft();
  Connect();
  server_.reset();
  client_.reset();
  ExpectNothingLeft();
}

TEST_F(SysvEndTest, WhatTheServerHadSentIsStillRead) {
  Connect();
  ASSERT_TRUE(Send(*server_, "last words"));
  server_.reset();
  EXPECT_THAT(Receive(*client_), Optional(std::string("last words")));
  client_.reset();
  EXPECT_FALSE(Exists(to_server_));
  EXPECT_FALSE(Exists(to_client_));
}

TEST_F(SysvEndTest, WhatAClientThatHasEndedDoesNotReadIsRemoved) {
  Connect();
  ASSERT_TRUE(Send(*server_, "nobody hears"));
  server_->OnPeerGone();
  server_.reset();
  EXPECT_FALSE(Exists(to_client_));
  EXPECT_THAT(names_.Entries(), IsEmpty());
}

TEST_F(SysvEndTest, WhatADeadClientDoesNotReadIsRemoved) {
  Connect(DeadPid());
  ASSERT_TRUE(Send(*server_, "nobody hears"));
  server_.reset();
  EXPECT_FALSE(Exists(to_client_));
  EXPECT_THAT(names_.Entries(), IsEmpty());
}

TEST_F(SysvEndTest, AnInheritedEndRemovesNothing) {
  Connect();
  testing::Child child([this] {
    client_.reset();
    server_.reset();
    OfferSysv({}, Self()).value().reset();  // its own, however
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  ASSERT_TRUE(Send(*server_, "reply"));
  EXPECT_THAT(Receive(*client_), Optional(std::string("reply")));
}

// --- what nobody was left to remove ---

// Both ends in a process that is killed; the numbers of its queues.
std::pair<QueueId, QueueId> LeaveBehind() {
  int fds[2];
  EXPECT_EQ(::pipe(fds), 0);
  const base::Fd from(fds[0]);
  const base::Fd to(fds[1]);
  testing::Child child([&]() -> int {
    const auto offer = *OfferSysv({}, Self());
    const Geometry geometry = offer->geometry();
    const auto client = *AttachSysv(Passed(*offer), geometry, Self());
    const auto server = *offer->Accept();
    Send(*server, "reply");
    static_cast<void>(!::write(to.get(), &geometry, sizeof(geometry)));
    for (;;) ::pause();
  });
  Geometry geometry{};
  EXPECT_EQ(::read(from.get(), &geometry, sizeof(geometry)), static_cast<ssize_t>(sizeof(geometry)));
  child.Kill();
  return {static_cast<QueueId>(geometry[0]), static_cast<QueueId>(geometry[1])};
}

TEST_F(SysvEndTest, TheNextServerSweepsWhatTwoKilledSidesLeft) {
  std::tie(to_server_, to_client_) = LeaveBehind();
  EXPECT_TRUE(Exists(to_server_));
  EXPECT_TRUE(Exists(to_client_));
  EXPECT_THAT(names_.Entries(), SizeIs(1));
  SweepSysv();
  ExpectNothingLeft();
}

TEST_F(SysvEndTest, ASweepLeavesTheLiving) {
  Connect();
  SweepSysv();
  EXPECT_THAT(names_.Entries(), SizeIs(1));
  ASSERT_TRUE(Send(*client_, "request"));
  EXPECT_THAT(Receive(*server_), Optional(std::string("request")));
}

TEST_F(SysvEndTest, ASweepWithoutADirectoryMakesNone) {
  const testing::ScopedEnv elsewhere("NEARCALL_DIR", (names_ / "missing").c_str());
  SweepSysv();
  EXPECT_THAT(names_.Entries(), IsEmpty());
}

// The links of `text`, of which one is swept and the other one is not.
class SysvJournalTest : public SysvEndTest {
 protected:
  bool IsSwept(const std::string& text, const std::string& name = ".sysv-00000ab2") {
    EXPECT_EQ(::symlink(text.c_str(), (names_ / name).c_str()), 0);
    SweepSysv();
    return ::unlink((names_ / name).c_str()) != 0;
  }
  // OwnProcess() with another word at `index`.
  static std::string With(size_t index, const std::string& word) {
    std::vector<std::string> words = absl::StrSplit(*OwnProcess(), ' ');
    words[index] = word;
    return absl::StrJoin(words, " ");
  }
};

TEST_F(SysvJournalTest, WhoIsDeadForSureIsSwept) {
  EXPECT_FALSE(IsSwept(*OwnProcess()));
  EXPECT_TRUE(IsSwept(With(0, "another-boot")));
  EXPECT_FALSE(IsSwept(With(1, "pid:[1]"))) << "who cannot be seen from here";
  EXPECT_TRUE(IsSwept(With(2, std::to_string(DeadPid()))));
  EXPECT_TRUE(IsSwept(With(3, "1"))) << "who has got a dead one's number";
}

TEST_F(SysvJournalTest, OtherFilesAreLeftAlone) {
  EXPECT_FALSE(IsSwept("gibberish"));
  EXPECT_FALSE(IsSwept(With(0, "another-boot"), ".sysv-"));
  EXPECT_FALSE(IsSwept(With(0, "another-boot"), ".sysv-xyz"));
  EXPECT_FALSE(IsSwept(With(0, "another-boot"), "sysv-00000ab2"));
}

TEST(SysvProcessTest, WhoWaitsToBeReapedIsDead) {
  EXPECT_FALSE(IsDead(::getpid()));
  EXPECT_FALSE(IsDead(0)) << "who cannot be seen from here";
  EXPECT_TRUE(IsDead(DeadPid()));
  const pid_t zombie = ::fork();
  if (zombie == 0) ::_exit(0);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(IsDead(zombie));
  ASSERT_EQ(::waitpid(zombie, nullptr, 0), zombie);
}

}  // namespace
}  // namespace nearcall::transport::sysv
