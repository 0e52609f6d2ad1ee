// SPDX-License-Identifier: Apache-2.0

// What is passed, what the client checks of it, and what each side has for itself alone.

#include "transport/pipe/pipe_offer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "process.h"
#include "raw_pipe_client.h"
#include "transport/framing.h"

namespace nearcall::transport::pipe {
namespace {

using ::testing::HasSubstr;
using testing::IsRoot;
using ::testing::Optional;

class PipeOfferTest : public ::testing::Test {
 protected:
  absl::Status AttachWith(size_t which, base::Fd fd) {
    std::vector<base::Fd> fds = Passed(*offer_);
    fds[which] = std::move(fd);
    return AttachPipe(std::move(fds), offer_->geometry()).status();
  }
  absl::Status AttachWith(const Geometry& geometry) { return AttachPipe(Passed(*offer_), geometry).status(); }

  std::unique_ptr<TransportOffer> offer_ = *OfferPipe({});
};

void ExpectRoundTrip(Transport& client, Transport& server) {
  ASSERT_TRUE(Commit(client, "request"));
  ASSERT_TRUE(client.Flush());
  EXPECT_THAT(Receive(server), Optional(std::string("request")));
  ASSERT_TRUE(Commit(server, "reply"));
  ASSERT_TRUE(server.Flush());
  EXPECT_THAT(Receive(client), Optional(std::string("reply")));
}

TEST_F(PipeOfferTest, BothSidesTalk) {
  const std::unique_ptr<Transport> client = *AttachPipe(Passed(*offer_), offer_->geometry());
  const std::unique_ptr<Transport> server = *offer_->Accept();
  offer_.reset();
  ExpectRoundTrip(*client, *server);
}

TEST_F(PipeOfferTest, AConnectionKeepsTwoDescriptorsOnEachSide) {
  offer_.reset();
  const size_t before = testing::OpenDescriptors();
  offer_ = *OfferPipe({});
  std::unique_ptr<Transport> client = *AttachPipe(Passed(*offer_), offer_->geometry());
  const std::unique_ptr<Transport> server = *offer_->Accept();
  offer_.reset();
  EXPECT_EQ(testing::OpenDescriptors(), before + 5) << "and one to interrupt the client";
  client.reset();
  EXPECT_EQ(testing::OpenDescriptors(), before + 2);
}

// O_NONBLOCK belongs to an open file description, and whoever passed or was passed one shares it.
TEST_F(PipeOfferTest, NeitherSideCanMakeTheOtherBlock) {
  const std::vector<base::Fd> passed = Passed(*offer_);
  const std::unique_ptr<Transport> client = *AttachPipe(Passed(*offer_), offer_->geometry());
  const std::unique_ptr<Transport> server = *offer_->Accept();
  for (const base::Fd& fd : passed) ASSERT_EQ(::fcntl(fd.get(), F_SETFL, 0), 0);
  EXPECT_EQ(Receive(*client), std::nullopt);
  EXPECT_EQ(Receive(*server), std::nullopt);
  for (Transport* end : {client.get(), server.get()}) {
    while (Commit(*end, std::string(1000, 'x'))) end->Flush();
  }
}

TEST_F(PipeOfferTest, DescriptorsAreClosedInAnotherProgram) {
  const std::unique_ptr<Transport> server = *offer_->Accept();
  for (const int fd : {server->wait_fds().readable, server->wait_fds().writable, offer_->fds()[0], offer_->fds()[1]}) {
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(PipeOfferTest, TheClientWantsTwoDescriptors) {
  std::vector<base::Fd> fds = Passed(*offer_);
  fds.pop_back();
  const absl::Status status = AttachPipe(std::move(fds), offer_->geometry()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "pipe: the server broke the protocol: it sent 1 descriptors, expected 2");
  EXPECT_EQ(AttachPipe({}, offer_->geometry()).status().code(), absl::StatusCode::kInternal);
}

TEST_F(PipeOfferTest, TheClientWantsTheFramesThatItKnows) {
  EXPECT_EQ(AttachWith(offer_->geometry()), absl::OkStatus());
  for (size_t i = 0; i < 4; ++i) {
    Geometry geometry = offer_->geometry();
    ++geometry[i];
    EXPECT_EQ(AttachWith(geometry).code(), absl::StatusCode::kInternal) << i;
  }
  EXPECT_THAT(std::string(AttachWith(Geometry{0, 0, 0, 7}).message()),
              HasSubstr("it sent the geometry {0, 0, 0, 7}, expected {16380, 0, 0, 0}"));
}

TEST_F(PipeOfferTest, TheClientTakesPipesAlone) {
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(AttachWith(i, base::Fd(::eventfd(0, EFD_CLOEXEC))).code(), absl::StatusCode::kInternal);
    EXPECT_EQ(AttachWith(i, testing::SocketPair().first).code(), absl::StatusCode::kInternal);
    EXPECT_EQ(AttachWith(i, base::Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC))).code(), absl::StatusCode::kInternal);
    EXPECT_EQ(AttachWith(i, base::Fd(::open("/tmp", O_RDONLY | O_CLOEXEC))).code(), absl::StatusCode::kInternal);
  }
  const absl::Status status = AttachWith(0, base::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  EXPECT_EQ(status.message(), "pipe: the peer sent a descriptor of /dev/null, expected a pipe");
}

TEST_F(PipeOfferTest, TheClientTakesNoNamedFifo) {
  const testing::TemporaryDirectory directory;
  for (const char* name : {"fifo", "pipe:[1]"}) {
    const std::string path = directory / name;
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const absl::Status status = AttachWith(1, base::Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)));
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected a pipe"));
  }
}

// Each works in the direction that the server has chosen for it, whatever end was passed.
TEST_F(PipeOfferTest, AnEndOfAnyDirectionWillDo) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  std::vector<base::Fd> passed;
  passed.emplace_back(fds[0]);
  passed.emplace_back(fds[1]);
  const std::unique_ptr<Transport> client = *AttachPipe(std::move(passed), offer_->geometry());
  ASSERT_TRUE(Commit(*client, "to myself"));
  ASSERT_TRUE(client->Flush());
  EXPECT_THAT(Receive(*client), Optional(std::string("to myself")));
}

TEST_F(PipeOfferTest, WithoutDescriptorsTheErrorNamesTheLimit) {
  std::vector<base::Fd> fds = Passed(*offer_);
  for (int room = 0; room < 6; ++room) {
    const testing::NoMoreDescriptors limit(room);
    const absl::Status status = OfferPipe({}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << room;
    EXPECT_THAT(std::string(status.message()), HasSubstr("pipe: cannot "));
    EXPECT_THAT(std::string(status.message()), HasSubstr("RLIMIT_NOFILE is"));
  }
  const testing::NoMoreDescriptors limit;
  const absl::Status status = AttachPipe(std::move(fds), offer_->geometry()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("RLIMIT_NOFILE is"));
}

TEST_F(PipeOfferTest, WithoutProcTheErrorSaysSo) {
  NEARCALL_TEST_NEEDS_ROOT();
  const testing::TemporaryDirectory empty;
  testing::Child child([&] {
    if (::chroot(empty.path().c_str()) != 0) return 2;
    const absl::Status offered = OfferPipe({}).status();
    const absl::Status attached = AttachPipe(Passed(*offer_), offer_->geometry()).status();
    if (!absl::IsFailedPrecondition(offered) || !absl::IsFailedPrecondition(attached)) return 3;
    const bool clear = offered.message() ==
                       "pipe: cannot use /proc/self/fd: No such file or directory; this transport needs a /proc (shm: "
                       "does not)";
    return clear ? 0 : 4;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(PipeOfferTest, AClientOfAnotherUserAttaches) {
  NEARCALL_TEST_NEEDS_ROOT();
  testing::Child other([&] {
    testing::BecomeUser(54321);
    return AttachWith(offer_->geometry()).ok() ? 0 : 2;
  });
  EXPECT_EQ(other.Wait(), 0);
}

TEST_F(PipeOfferTest, TwoProcessesTalk) {
  testing::Child peer([&] {
    const std::unique_ptr<Transport> client = *AttachPipe(Passed(*offer_), offer_->geometry());
    if (!Commit(*client, "request") || !client->Flush()) return 2;
    while (!client->Arm(Transport::kFrames, 0)) client->Wait(testing::Soon());
    return Receive(*client) == "reply" ? 0 : 3;
  });
  const std::unique_ptr<Transport> server = *offer_->Accept();
  pollfd item{.fd = server->wait_fds().readable, .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&item, 1, 20'000), 1);
  EXPECT_THAT(Receive(*server), Optional(std::string("request")));
  ASSERT_TRUE(Commit(*server, "reply"));
  ASSERT_TRUE(server->Flush());
  EXPECT_EQ(peer.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::transport::pipe
