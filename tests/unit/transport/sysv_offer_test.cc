// SPDX-License-Identifier: Apache-2.0

// What is made, for whom, and what the client checks of it.

#include "transport/sysv/sysv_offer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "passed.h"
#include "queue_namespace.h"
#include "sysv.h"
#include "transport/sysv/queue_size.h"

namespace nearcall::transport::sysv {
namespace {

using ::testing::HasSubstr;
using testing::IsRoot;
using ::testing::Optional;

constexpr uid_t kStranger = 12345;

class SysvOfferTest : public ::testing::Test {
 protected:
  QueueId queue(size_t which) const { return static_cast<QueueId>(offer_->geometry()[which]); }

  ipc_perm PermOf(size_t which) const {
    msqid_ds state{};
    EXPECT_EQ(::msgctl(queue(which), IPC_STAT, &state), 0);
    return state.msg_perm;
  }
  absl::Status AttachWith(const Geometry& geometry, const PeerIdentity& server = Self()) {
    return AttachSysv(Passed(*offer_), geometry, server).status();
  }
  absl::Status AttachWith(size_t which, uint64_t number) {
    Geometry geometry = offer_->geometry();
    geometry[which] = number;
    return AttachWith(geometry);
  }

  testing::NameDirectory names_;
  std::unique_ptr<TransportOffer> offer_ = *OfferSysv({}, Self());
};

TEST_F(SysvOfferTest, BothSidesTalk) {
  const std::unique_ptr<Transport> client = *AttachSysv(Passed(*offer_), offer_->geometry(), Self());
  const std::unique_ptr<Transport> server = *offer_->Accept();
  offer_.reset();
  ASSERT_TRUE(Send(*client, "request"));
  EXPECT_THAT(Receive(*server), Optional(std::string("request")));
  ASSERT_TRUE(Send(*server, "reply"));
  EXPECT_THAT(Receive(*client), Optional(std::string("reply")));
}

TEST_F(SysvOfferTest, AConnectionKeepsTwoDescriptorsOnEachSide) {
  offer_.reset();
  const size_t before = testing::OpenDescriptors();
  offer_ = *OfferSysv({}, Self());
  std::unique_ptr<Transport> client = *AttachSysv(Passed(*offer_), offer_->geometry(), Self());
  const std::unique_ptr<Transport> server = *offer_->Accept();
  offer_.reset();
  EXPECT_EQ(testing::OpenDescriptors(), before + 5) << "and one to interrupt the client";
  client.reset();
  EXPECT_EQ(testing::OpenDescriptors(), before + 2);
}

TEST_F(SysvOfferTest, DescriptorsAreClosedInAnotherProgram) {
  const std::unique_ptr<Transport> server = *offer_->Accept();
  for (const int fd : {server->wait_fds().readable, server->wait_fds().writable, offer_->fds()[0], offer_->fds()[1]}) {
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(SysvOfferTest, QueuesAreOfThisUserAlone) {
  for (const size_t which : {size_t{0}, size_t{1}}) {
    EXPECT_EQ(PermOf(which).cuid, ::geteuid());
    EXPECT_EQ(PermOf(which).uid, ::geteuid());
    EXPECT_EQ(PermOf(which).mode & 0777, 0600);
  }
  EXPECT_NE(queue(0), queue(1));
}

TEST_F(SysvOfferTest, QueuesForAnotherUserAreHis) {
  NEARCALL_TEST_NEEDS_ROOT();
  offer_ = *OfferSysv({}, {.pid = 0, .uid = kStranger, .gid = kStranger});
  EXPECT_EQ(PermOf(0).uid, kStranger);
  EXPECT_EQ(PermOf(1).uid, kStranger);
  testing::Child stranger([&]() -> int {
    testing::BecomeUser(kStranger);
    const auto attached = AttachSysv(Passed(*offer_), offer_->geometry(), {.pid = 0, .uid = 0, .gid = 0});
    const bool sends = attached.ok() && Send(**attached, "request");
    ::_exit(sends ? 0 : 1);  // without the end of the transport
  });
  EXPECT_EQ(stranger.Wait(), 0);
  EXPECT_THAT(Receive(**offer_->Accept()), Optional(std::string("request")));
}

TEST_F(SysvOfferTest, TheClientWantsTwoPipes) {
  std::vector<base::Fd> fds = Passed(*offer_);
  fds.pop_back();
  EXPECT_THAT(std::string(AttachSysv(std::move(fds), offer_->geometry(), Self()).status().message()),
              HasSubstr("it sent 1 descriptors and the geometry {"));
  for (const size_t which : {size_t{0}, size_t{1}}) {
    std::vector<base::Fd> others = Passed(*offer_);
    others[which] = base::Fd(::eventfd(0, EFD_CLOEXEC));
    const absl::Status status = AttachSysv(std::move(others), offer_->geometry(), Self()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("sysv: the peer sent a descriptor of anon_inode:"));
  }
}

TEST_F(SysvOfferTest, TheClientWantsAGeometryThatCanBe) {
  EXPECT_EQ(AttachWith(offer_->geometry()), absl::OkStatus());
  EXPECT_EQ(AttachWith(0, uint64_t{1} << 31).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(1, ~uint64_t{0}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(1, offer_->geometry()[0]).code(), absl::StatusCode::kInternal) << "its own echo";
  EXPECT_EQ(AttachWith(2, 255).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(AttachWith(2, 8193).code(), absl::StatusCode::kInternal);
}

// A server must not make us write into another program's queue, nor read one that others can write.
TEST_F(SysvOfferTest, TheClientWantsQueuesOfTheServersForItselfAlone) {
  const PeerIdentity other{.pid = 0, .uid = kStranger, .gid = kStranger};
  EXPECT_THAT(std::string(AttachWith(offer_->geometry(), other).message()), HasSubstr("made by uid 12345"));
  msqid_ds state{};
  ASSERT_EQ(::msgctl(queue(1), IPC_STAT, &state), 0);
  state.msg_perm.mode = 0666;
  ASSERT_EQ(::msgctl(queue(1), IPC_SET, &state), 0);
  const absl::Status status = AttachWith(offer_->geometry());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("of mode 0666"));
}

TEST_F(SysvOfferTest, QueuesOfAnotherNamespaceAreNamedSo) {
  const absl::Status status = AttachWith(3, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("IPC namespace"));
}

TEST_F(SysvOfferTest, QueuesOfAServerThatHasDiedAreNotTheClientsFault) {
  RemoveQueue(queue(1));
  EXPECT_EQ(AttachWith(offer_->geometry()).code(), absl::StatusCode::kUnavailable);
}

TEST_F(SysvOfferTest, WithoutDescriptorsTheLimitIsNamed) {
  for (int room = 0; room < 12; ++room) {
    const testing::NoMoreDescriptors limit(room);
    const absl::Status status = OfferSysv({}, Self()).status();
    EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << room << " " << status;
  }
}

TEST_F(SysvOfferTest, TheLimitThatIsReachedIsNamed) {
  NEARCALL_TEST_NEEDS_ROOT();
  testing::Child child([] {
    if (::unshare(CLONE_NEWIPC) != 0) return 77;
    testing::WriteFile("/proc/sys/kernel/msgmni", "1");
    const absl::Status status = OfferSysv({}, Self()).status();
    const bool names = status.code() == absl::StatusCode::kResourceExhausted &&
                       status.message().find("kernel.msgmni is 1, for all programs") != absl::string_view::npos;
    // The first of the two is not left.
    return names && ::msgget(IPC_PRIVATE, IPC_CREAT | 0600) != -1 ? 0 : 1;
  });
  const int code = child.Wait();
  if (code == 77) GTEST_SKIP() << "SKIPPED: namespaces are not allowed here";
  EXPECT_EQ(code, 0);
}

TEST(SysvFrameSizeTest, FourFitIntoAQueue) {
  EXPECT_EQ(*ChooseFrameSize(16384, 8192), 4096U);
  EXPECT_EQ(*ChooseFrameSize(1 << 20, 65536), 8192U) << "enough";
  EXPECT_EQ(*ChooseFrameSize(16384, 300), 300U);
  EXPECT_EQ(*ChooseFrameSize(1024, 8192), 256U);
  const absl::Status status = ChooseFrameSize(1023, 8192).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kernel.msgmnb is 1023 and kernel.msgmax is 8192"));
}

}  // namespace
}  // namespace nearcall::transport::sysv
