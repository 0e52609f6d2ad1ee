// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/door.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/limits.h"
#include "support/temporary_directory.h"
#include "transport/address.h"
#include "unit/session/link.h"

namespace {
// What the next calls of accept4(2) in this program fail with.
std::atomic<int> accept_error{0};
std::atomic<int> accept_failures{0};
// Whenever nobody waits there comes somebody who has hung up again.
std::atomic<bool> endless{false};
std::atomic<int> gone{0};

// Who is accepted has said hello.
std::atomic<bool> hello_is_there{false};

int SomebodyWhoHasGone() {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) != 0) return -1;
  ::close(sockets[1]);
  ++gone;
  return sockets[0];
}
}  // namespace

// In the place of the C library's.
extern "C" int accept4(int socket, sockaddr* address, socklen_t* size, int flags) {
  if (accept_failures.load() > 0 && accept_failures.fetch_sub(1) > 0) {
    errno = accept_error;
    return -1;
  }
  const int accepted = static_cast<int>(::syscall(SYS_accept4, socket, address, size, flags));
  if (accepted >= 0 && hello_is_there) {
    pollfd hello{.fd = accepted, .events = POLLIN, .revents = 0};
    ::poll(&hello, 1, -1);
  }
  return accepted < 0 && errno == EAGAIN && endless ? SomebodyWhoHasGone() : accepted;
}

// Who comes among them says hello when he has been accepted: a door need not look again at one who has said it.
extern "C" int connect(int socket, const sockaddr* address, socklen_t size) {
  const int before = gone;
  const int result = static_cast<int>(::syscall(SYS_connect, socket, address, size));
  while (endless && result == 0 && gone - before < 2) std::this_thread::yield();
  return result;
}

namespace nearcall::rpc {
namespace {

using session::testing::Patience;

// For OfferAndLook.
const Door* looked_at = nullptr;
std::atomic<bool> was_empty{false};

absl::StatusOr<std::unique_ptr<transport::TransportOffer>> OfferAndLook(const transport::TransportConfig& config,
                                                                        const PeerIdentity& client) {
  if (looked_at->IsEmpty()) was_empty = true;
  return transport::FindTransport("shm")->offer(config, client);
}

// A door with nobody behind it: who comes in stays.
class DoorTest : public ::testing::Test {
 protected:
  ~DoorTest() override {
    accept_failures = 0;
    endless = false;
    hello_is_there = false;
    door_.Close();
    door_.Stop();
  }

  DoorTest() {
    core_.on_drained = [] {};
  }
  void Start(const transport::TransportRow* row = transport::FindTransport("shm")) {
    auto transports = std::make_shared<Handshakes::Transports>();
    transports->push_back(row);
    std::vector<Door::Entry> entries;
    entries.push_back({.listener = *transport::Listener::Bind(address_), .transports = std::move(transports)});
    ASSERT_TRUE(door_.Start(std::move(entries)).ok());
  }

  absl::StatusOr<transport::Connection> Connect() const {
    return transport::Connect(address_, {.deadline = Patience(), .terms = {.max_message_size = 1000}});
  }

  template <class Condition>
  static bool Becomes(Condition&& condition) {
    const base::SteadyNs until = Patience();
    while (!condition()) {
      if (base::NowNs() >= until) return false;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  struct Guest {
    transport::Connection connection;
    ConnectionIds::LeasePtr id;
  };

  static constexpr uint32_t kLastId = 4;

  nearcall::testing::NameDirectory directory_;
  const transport::Address address_ = *transport::ParseAddress("echo");
  ServerCore core_{ServerOptions{}, 1};
  Admission admission_{core_};
  ConnectionIds ids_{kLastId};
  base::Mutex mutex_;
  std::vector<Guest> guests_;
  Door door_{core_, admission_, ids_, [this](transport::Connection connection, ConnectionIds::LeasePtr id) {
               base::MutexLock lock(mutex_);
               guests_.push_back({std::move(connection), std::move(id)});
             }};
};

// A server that ends waits for who has been answered, and so believes that he is connected.
TEST_F(DoorTest, IsNotEmptyWhileItAnswersAHello) {
  static transport::TransportRow row = *transport::FindTransport("shm");
  row.offer = OfferAndLook;
  looked_at = &door_;
  hello_is_there = true;
  Start(&row);
  ASSERT_TRUE(Connect().ok());
  EXPECT_FALSE(was_empty);
}

// Not told that this one ends: his next try may find a successor at the same name.
TEST_F(DoorTest, WhoComesWhileTheServerDrainsIsToTryAgain) {
  core_.draining = true;
  EXPECT_TRUE(absl::IsCancelled(admission_.Admit(::geteuid())));
}

TEST_F(DoorTest, NoTwoConnectionsThatLiveHaveTheSameNumber) {
  Start();
  std::vector<transport::Connection> stay;
  for (uint32_t turn = 0; turn < 3 * kLastId; ++turn) {
    auto connection = Connect();
    ASSERT_TRUE(connection.ok()) << connection.status();
    ASSERT_TRUE(Becomes([&] {
      base::MutexLock lock(mutex_);
      return guests_.size() == stay.size() + 1;
    }));
    base::MutexLock lock(mutex_);
    std::set<uint32_t> ids;
    for (const Guest& guest : guests_) EXPECT_TRUE(ids.insert(guest.id->id()).second) << guest.id->id();
    EXPECT_EQ(connection->local_id, guests_.back().id->id());
    EXPECT_EQ(guests_.back().connection.peer_id, guests_.back().id->id());
    // The first two stay, the others go again.
    if (turn < 2) {
      stay.push_back(*std::move(connection));
    } else {
      guests_.pop_back();
    }
  }
}

TEST_F(DoorTest, WhoeverWaitsIsLetInWhenTheKernelCanAgain) {
  Start();
  for (const int error : {ENOMEM, ENOBUFS, EPERM, ECONNABORTED, EMFILE, ENFILE, ENOSR, EINTR}) {
    accept_error = error;
    accept_failures = 3;
    const auto connection = Connect();
    EXPECT_TRUE(connection.ok() || error == EMFILE || error == ENFILE) << error << ": " << connection.status();
    EXPECT_LE(accept_failures, 0) << error;
    base::MutexLock lock(mutex_);
    guests_.clear();
  }
}

TEST_F(DoorTest, WhoIsOnTheWayIsLookedAtThoughOthersNeverCeaseToCome) {
  Start();
  endless = true;
  const auto connection = Connect();
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE(Becomes([&] {
    base::MutexLock lock(mutex_);
    return guests_.size() == 1;
  }));
}

TEST_F(DoorTest, ALaterEventIsNotMissedAfterTheFirst) {
  const base::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::atomic<int> events{0};
  door_.WatchEvent(event.get(), [&] { ++events; });
  Start();
  for (int i = 1; i <= 3; ++i) {
    const uint64_t one = 1;
    ASSERT_EQ(::write(event.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
    EXPECT_TRUE(Becomes([&] { return events == i; }));
  }
}

TEST_F(DoorTest, ClosedItHasNoNameAndNoSocket) {
  Start();
  door_.Close();
  EXPECT_TRUE(transport::Listener::Bind(address_).ok());
  EXPECT_TRUE(absl::IsUnavailable(Connect().status()));
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
  const base::Fd other(sockets[1]);
  EXPECT_TRUE(absl::IsUnavailable(door_.Serve(base::Fd(sockets[0]))));
}

}  // namespace
}  // namespace nearcall::rpc
