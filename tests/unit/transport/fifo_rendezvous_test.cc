// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_rendezvous.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fifo.h"
#include "transport/fifo/hello_record.h"
#include "transport/fifo/named_fifos.h"
#include "transport/rendezvous/hello.h"

namespace nearcall::transport::testing {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Progress = ServerHandshake::Progress;

class FifoRendezvousTest : public ::testing::Test {
 protected:
  std::unique_ptr<Listener> Listen() { return Listener::Bind(meeting_.address()).value(); }
  std::vector<std::string> Left() const { return meeting_.directory().Entries(); }

  // Both FIFOs of the pair that the next client finds, for a client that does as it likes.
  fifo::Fifos Open() const {
    return fifo::OpenFifos(*Directory::OpenAny(meeting_.directory().path()), "meeting").value().value();
  }

  void ExpectFails(const absl::Status& status, StatusCode code, const std::string& part) const {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }

  FifoMeeting meeting_;
};

TEST_F(FifoRendezvousTest, BothSidesAgree) {
  const auto listener = Listen();
  const auto dial = meeting_.Call();
  const absl::StatusOr<Connection> client = meeting_.Meet(*listener, *dial);
  ASSERT_TRUE(client.ok()) << client.status();
  // The acknowledgement is there.
  ASSERT_EQ(meeting_.served.size() + meeting_.handshakes.size(), 1u);
  if (meeting_.served.empty()) {
    ASSERT_EQ(meeting_.handshakes[0]->Step(), Progress::kDone);
    meeting_.served.push_back(meeting_.handshakes[0]->Take());
  }
  const Connection& server = meeting_.served[0];
  EXPECT_EQ(client->transport->name(), "fifo");
  EXPECT_EQ(client->local_id, 8u);
  EXPECT_EQ(client->peer_id, 7u);
  EXPECT_EQ(client->peer_terms.max_message_size, 1000u);
  EXPECT_EQ(server.peer_terms.max_message_size, 2000u);
  EXPECT_FALSE(server.control.valid());
  EXPECT_NE(server.in_band, nullptr);
  for (const PeerIdentity& peer : {client->peer, server.peer}) {
    EXPECT_EQ(peer.pid, 0);
    EXPECT_EQ(peer.uid, ::geteuid()) << "who else could open a file of mode 0600";
    EXPECT_EQ(peer.gid, static_cast<gid_t>(-1));
  }
}

TEST_F(FifoRendezvousTest, TheFifosAreTheUsersAloneWhateverTheUmask) {
  const ScopedUmask umask(0777);
  const auto listener = Listen();
  EXPECT_THAT(Left(), SizeIs(2));
  for (const std::string& name : Left()) {
    struct stat status {};
    ASSERT_EQ(::lstat((meeting_.directory() / name).c_str(), &status), 0);
    EXPECT_TRUE(S_ISFIFO(status.st_mode));
    EXPECT_EQ(status.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(FifoRendezvousTest, TheNamesGoWithTheListener) {
  Listen().reset();
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(FifoRendezvousTest, ManyClientsAreConnectedAtATime) {
  const auto listener = Listen();
  std::vector<Connection> clients;
  for (int i = 0; i < 5; ++i) {
    auto client = meeting_.Meet(*listener, *meeting_.Call());
    ASSERT_TRUE(client.ok()) << client.status();
    clients.push_back(*std::move(client));
    EXPECT_THAT(Left(), SizeIs(2)) << "of the next client alone";
  }
}

// Before anybody is accepted again.
TEST_F(FifoRendezvousTest, ManyClientsHaveEachAPairOfTheirOwn) {
  const auto listener = Listen();
  const auto dial = meeting_.Call();
  EXPECT_FALSE(dial->Step().has_value());
  const auto newcomer = listener->Accept();
  ASSERT_NE(newcomer.shake_hands, nullptr);
  EXPECT_THAT(Left(), SizeIs(2)) << "the name is the next client's";
}

TEST_F(FifoRendezvousTest, WhileOneClientShakesHandsAnotherWaits) {
  const auto listener = Listen();
  const fifo::Fifos silent = Open();
  const auto dial = meeting_.Call();
  EXPECT_FALSE(dial->Step().has_value());
  EXPECT_EQ(listener->Accept().shake_hands, nullptr) << "nobody has said hello";
  EXPECT_EQ(errno, EAGAIN);
  const auto late = meeting_.Call(base::NowNs())->Finish();
  ExpectFails(late.status(), StatusCode::kDeadlineExceeded, "another client is shaking hands");
}

TEST_F(FifoRendezvousTest, AClientThatDiesInItsHandshakeIsInNobodysWay) {
  const auto listener = Listen();
  for (const size_t said : {size_t{1}, size_t{4}, size_t{30}}) {
    {
      const fifo::Fifos client = Open();
      EXPECT_EQ(::write(client.outgoing.get(), std::string(30, '\x40').data(), said), static_cast<ssize_t>(said));
    }
    const absl::StatusOr<Connection> next = meeting_.Meet(*listener, *meeting_.Call());
    EXPECT_TRUE(next.ok()) << said << " " << next.status();
    EXPECT_THAT(meeting_.handshakes, IsEmpty());
  }
}

TEST_F(FifoRendezvousTest, WhoSaysSomethingElseIsHungUpOn) {
  const auto listener = Listen();
  const fifo::Fifos client = Open();
  EXPECT_TRUE(fifo::WriteHello(client.outgoing, std::vector<std::byte>(64)).ok());
  auto handshake = listener->Accept().shake_hands(FifoServer());
  EXPECT_EQ(handshake->Step(), Progress::kFailed);
  ExpectFails(handshake->error(), StatusCode::kInternal, "");
  handshake.reset();
  pollfd item{.fd = client.incoming.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&item, 1, 0), 1);
  EXPECT_NE(item.revents & POLLHUP, 0);
}

TEST_F(FifoRendezvousTest, ALengthThatNoHelloHasIsRefusedBeforeItIsWaitedFor) {
  const auto listener = Listen();
  const fifo::Fifos client = Open();
  const uint32_t length = 513;
  EXPECT_EQ(::write(client.outgoing.get(), &length, sizeof(length)), 4);
  auto handshake = listener->Accept().shake_hands(FifoServer());
  EXPECT_EQ(handshake->Step(), Progress::kFailed);
  ExpectFails(handshake->error(), StatusCode::kInternal, "a message of 513 B");
}

TEST_F(FifoRendezvousTest, WhoIsNotAdmittedIsToldWhy) {
  const auto listener = Listen();
  ServeParams full = FifoServer();
  full.admit = [](const PeerIdentity&) { return absl::ResourceExhaustedError("no place"); };
  ExpectFails(meeting_.Meet(*listener, *meeting_.Call(), full).status(), StatusCode::kResourceExhausted, "no place");
  ServeParams listed = FifoServer();
  listed.allowed_uids = {12345};
  ExpectFails(meeting_.Meet(*listener, *meeting_.Call(), listed).status(), StatusCode::kPermissionDenied,
              "ServerOptions::allowed_uids");
}

TEST_F(FifoRendezvousTest, TheSecondServerOfANameIsRefused) {
  const auto listener = Listen();
  ExpectFails(Listener::Bind(meeting_.address()).status(), StatusCode::kAlreadyExists, "a live server has the name");
  EXPECT_TRUE(meeting_.Meet(*listener, *meeting_.Call()).ok()) << "it has taken nothing from anybody";
}

TEST_F(FifoRendezvousTest, WhatIsNoFifoIsLeftAlone) {
  EXPECT_EQ(::close(::open(meeting_.c2s().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)), 0);
  ExpectFails(Listener::Bind(meeting_.address()).status(), StatusCode::kAlreadyExists, "is not this user's FIFO");
  ExpectFails(meeting_.Call()->Finish().status(), StatusCode::kUnavailable, "is no FIFO");
  EXPECT_THAT(Left(), SizeIs(1));
}

TEST_F(FifoRendezvousTest, NobodyListens) {
  ExpectFails(meeting_.Call()->Finish().status(), StatusCode::kUnavailable, "does not exist");
  // As a server leaves them that is killed.
  static_cast<void>(fifo::MakeFifos(*Directory::OpenAny(meeting_.directory().path()), "meeting").value());
  EXPECT_THAT(Left(), SizeIs(2));
  ExpectFails(meeting_.Call()->Finish().status(), StatusCode::kUnavailable, "left by a server that died");
}

TEST_F(FifoRendezvousTest, TheNextServerSweepsWhatADeadOneLeft) {
  const auto directory = *Directory::OpenAny(meeting_.directory().path());
  static_cast<void>(fifo::MakeFifos(directory, "meeting").value());
  // Killed while it made the next pair, at each step.
  for (const char* name : {".meeting.c2s.new", ".meeting.s2c.new", "meeting.s2c-7"}) {
    EXPECT_EQ(::mknod((meeting_.directory() / name).c_str(), S_IFIFO | 01600, 0), 0);
  }
  const auto listener = Listen();
  EXPECT_THAT(Left(), SizeIs(2));
  EXPECT_TRUE(meeting_.Meet(*listener, *meeting_.Call()).ok());
}

TEST_F(FifoRendezvousTest, TheSweepOfADirectorySparesTheLiving) {
  const auto directory = *Directory::OpenAny(meeting_.directory().path());
  const auto listener = Listen();
  static_cast<void>(fifo::MakeFifos(directory, "dead").value());
  EXPECT_EQ(::mkfifo((meeting_.directory() / "somebodys.c2s").c_str(), 0600), 0);
  fifo::SweepFifos(directory);
  EXPECT_THAT(Left(), SizeIs(3)) << "the living one's, and what has not our mark";
  EXPECT_TRUE(meeting_.Meet(*listener, *meeting_.Call()).ok());
}

TEST_F(FifoRendezvousTest, AFifoThatOthersCanOpenIsNotTrusted) {
  const auto listener = Listen();
  EXPECT_EQ(::chmod(meeting_.c2s().c_str(), 0666), 0);
  ExpectFails(meeting_.Call()->Finish().status(), StatusCode::kPermissionDenied, "anybody could pose as the server");
}

TEST_F(FifoRendezvousTest, AServerThatGoesInTheHandshakeIsNotWaitedFor) {
  auto listener = Listen();
  const auto dial = meeting_.Call();
  EXPECT_FALSE(dial->Step().has_value());
  listener.reset();
  ExpectFails(dial->Finish().status(), StatusCode::kUnavailable, "does not exist");
}

TEST_F(FifoRendezvousTest, OnlyItsOwnUserCanBeServed) {
  ExpectFails(Listener::Bind(meeting_.address(), {.mode = 0660}).status(), StatusCode::kInvalidArgument, "socket_mode");
  ConnectParams params{.allowed_uids = {12345}, .deadline = Soon()};
  ExpectFails(Connect(meeting_.address(), params).status(), StatusCode::kPermissionDenied,
              "ChannelOptions::allowed_uids");
}

TEST_F(FifoRendezvousTest, ANameThatSomebodyElseHasTakenIsLeftAlone) {
  const auto listener = Listen();
  const auto dial = meeting_.Call();
  EXPECT_FALSE(dial->Step().has_value());
  EXPECT_EQ(::unlink(meeting_.c2s().c_str()), 0);
  EXPECT_EQ(::close(::open(meeting_.c2s().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)), 0);
  EXPECT_TRUE(meeting_.Meet(*listener, *dial).ok());
  struct stat status {};
  ASSERT_EQ(::lstat(meeting_.c2s().c_str(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
}

}  // namespace
}  // namespace nearcall::transport::testing
