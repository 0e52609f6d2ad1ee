// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/listening_sockets.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "base/log.h"
#include "support/temporary_directory.h"
#include "transport/address.h"

namespace nearcall::rpc {
namespace {

constexpr uint64_t kFirstEvent = 7;

class ListeningSocketsTest : public ::testing::Test {
 protected:
  ListeningSocketsTest() {
    sockets_.WatchIn(epoll_.get(), kFirstEvent);
    EXPECT_TRUE(sockets_.Add(*transport::Listener::Bind(address_), transports_).ok());
  }

  // Whether the epoll says so, among other things.
  bool Comes(uint64_t wanted) const {
    epoll_event event;
    while (::epoll_wait(epoll_.get(), &event, 1, /*timeout=*/1000) == 1) {
      if (event.data.u64 == wanted) return true;
    }
    return false;
  }

  // Somebody who connects, and says nothing.
  base::Fd Connect() {
    base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string name = *sockets_.NameOf(0);
    EXPECT_LT(name.size(), sizeof(to.sun_path));
    name.copy(to.sun_path, sizeof(to.sun_path) - 1);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
    return socket;
  }

  nearcall::testing::NameDirectory directory_;
  const transport::Address address_ = *transport::ParseAddress("echo");
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {});
  const base::Fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  const ListeningSockets::Transports transports_ = std::make_shared<Handshakes::Transports>();
  ListeningSockets sockets_{*logger_};
};

TEST_F(ListeningSocketsTest, NobodyWaitsAtFirst) {
  EXPECT_EQ(sockets_.count(), 1u);
  EXPECT_FALSE(sockets_.SomebodyWaits());
  EXPECT_EQ(sockets_.Accept(0).error, EAGAIN);
  EXPECT_EQ(sockets_.NextLookAt(), base::kNever);
}

TEST_F(ListeningSocketsTest, WhoHasConnectedWaitsUntilNobodyDoes) {
  const base::Fd client = Connect();
  ASSERT_TRUE(Comes(kFirstEvent));
  sockets_.OnEvent(kFirstEvent);
  EXPECT_TRUE(sockets_.SomebodyWaits());
  const ListeningSockets::Accepted accepted = sockets_.Accept(0);
  EXPECT_TRUE(accepted.somebody());
  EXPECT_EQ(accepted.transports, transports_);
  EXPECT_TRUE(sockets_.SomebodyWaits()) << "another one may";
  EXPECT_EQ(sockets_.Accept(0).error, EAGAIN);
  EXPECT_FALSE(sockets_.SomebodyWaits());
}

TEST_F(ListeningSocketsTest, AnEventForNobodyIsForgotten) {
  sockets_.OnEvent(kFirstEvent);
  EXPECT_TRUE(sockets_.SomebodyWaits());
  EXPECT_EQ(sockets_.Accept(0).error, EAGAIN);
  EXPECT_FALSE(sockets_.SomebodyWaits());
}

TEST_F(ListeningSocketsTest, ClosedThereAreNone) {
  EXPECT_TRUE(absl::EndsWith(*sockets_.NameOf(0), "echo"));
  EXPECT_TRUE(absl::StrContains(sockets_.DebugString(), "listening: "));
  EXPECT_TRUE(sockets_.Close().ok());
  EXPECT_EQ(sockets_.count(), 0u);
  EXPECT_FALSE(sockets_.NameOf(0));
  EXPECT_EQ(sockets_.Accept(0).error, EAGAIN);
  sockets_.OnEvent(kFirstEvent);
  sockets_.OnEvent(kFirstEvent + 1);
  EXPECT_EQ(sockets_.DebugString(), "");
  EXPECT_TRUE(transport::Listener::Bind(address_).ok());
}

// Whoever waits at the former socket is taken, then that goes and its place is free.
TEST_F(ListeningSocketsTest, ANameThatSomebodyRemovesIsBoundAgain) {
  const std::string name = *sockets_.NameOf(0);
  ASSERT_EQ(::unlink(name.c_str()), 0);
  ASSERT_TRUE(Comes(kFirstEvent + 1));
  sockets_.OnEvent(kFirstEvent + 1);
  EXPECT_EQ(sockets_.count(), 2u);
  EXPECT_EQ(sockets_.NameOf(1), name);
  EXPECT_TRUE(sockets_.NameOf(0)) << "for whoever waits there";
  EXPECT_EQ(sockets_.Accept(0).error, EAGAIN);
  EXPECT_FALSE(sockets_.NameOf(0));
  EXPECT_TRUE(sockets_.Close().ok());
}

}  // namespace
}  // namespace nearcall::rpc
