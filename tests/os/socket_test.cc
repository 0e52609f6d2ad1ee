// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "os/child.h"
#include "support/temporary_directory.h"

// Unix-domain SOCK_SEQPACKET sockets (unix(7)): the rendezvous and the control socket.
namespace nearcall::testing {
namespace {

using base::Fd;

#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;  // Linux 6.5, newer than Debian 12's headers
#endif

class SocketTest : public ::testing::Test {
 protected:
  SocketTest() {
    address_.sun_family = AF_UNIX;
    std::strncpy(address_.sun_path, path().c_str(), sizeof(address_.sun_path) - 1);
  }

  std::string path() const { return directory_ / "socket"; }

  static Fd Socket() { return Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

  Fd Listen(int backlog) const {
    Fd fd = Socket();
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)), 0);
    EXPECT_EQ(::listen(fd.get(), backlog), 0);
    return fd;
  }

  // 0 or errno.
  int Connect(const Fd& fd) const {
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) == 0 ? 0 : errno;
  }

  const TemporaryDirectory directory_;
  sockaddr_un address_ = {};
};

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    one = Fd(ends[0]);
    other = Fd(ends[1]);
  }
  Fd one, other;
};

template <typename T>
T Option(const Fd& fd, int option) {
  T value{};
  socklen_t size = sizeof(value);
  EXPECT_EQ(::getsockopt(fd.get(), SOL_SOCKET, option, &value, &size), 0);
  return value;
}

bool IsReadable(int fd) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

// --- messages ---

TEST_F(SocketTest, SeqpacketKeepsTheBoundariesOfMessages) {
  const Pair pair;
  ASSERT_EQ(::send(pair.one.get(), "ab", 2, 0), 2);
  ASSERT_EQ(::send(pair.one.get(), "cde", 3, 0), 3);
  char text[16];
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), 0), 2);
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), 0), 3);
}

TEST_F(SocketTest, ATruncatedMessageIsMarkedAndItsRestIsGone) {
  const Pair pair;
  ASSERT_EQ(::send(pair.one.get(), "abcdef", 6, 0), 6);
  ASSERT_EQ(::send(pair.one.get(), "x", 1, 0), 1);
  char text[4];
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), MSG_TRUNC), 6);
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), 0), 1);
}

// The bytes of memory that messages take which `fd` has sent, and its peer has not received.
int Unreceived(const Fd& fd) {
  int bytes = -1;
  EXPECT_EQ(::ioctl(fd.get(), SIOCOUTQ, &bytes), 0);
  return bytes;
}

TEST_F(SocketTest, TheOutputQueueIsEmptyWhenAllHasBeenReceived) {
  const Pair pair;
  EXPECT_EQ(Unreceived(pair.one), 0);
  ASSERT_EQ(::send(pair.one.get(), "abcdef", 6, 0), 6);
  ASSERT_EQ(::send(pair.one.get(), "", 0, 0), 0);
  EXPECT_GT(Unreceived(pair.one), 0);
  char text[4];
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), MSG_PEEK), 4);
  EXPECT_GT(Unreceived(pair.one), 0) << "looking is not receiving";
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), 0), 4);
  EXPECT_GT(Unreceived(pair.one), 0) << "the empty one";
  EXPECT_EQ(::recv(pair.other.get(), text, sizeof(text), 0), 0);
  EXPECT_EQ(Unreceived(pair.one), 0);
  ASSERT_EQ(::send(pair.other.get(), "x", 1, 0), 1);
  EXPECT_EQ(Unreceived(pair.one), 0) << "what the peer has sent does not count";
}

// --- who is there ---

// The pid in the SCM_CREDENTIALS of the next message.
pid_t ReceiveSender(const Fd& fd) {
  char byte;
  iovec data = {.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  EXPECT_EQ(::recvmsg(fd.get(), &message, 0), 1);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_CREDENTIALS) return 0;
  ucred credentials;
  std::memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
  return credentials.pid;
}

// SO_PEERCRED names who made the socket, which need not be who uses it.
TEST_F(SocketTest, CredentialsOfAMessageNameItsSender) {
  const Pair pair;
  const int on = 1;
  ASSERT_EQ(::setsockopt(pair.one.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
  Child child([&] { return static_cast<int>(::send(pair.other.get(), "x", 1, 0)) - 1; });
  const pid_t sender = child.pid();
  EXPECT_EQ(ReceiveSender(pair.one), sender);
  EXPECT_EQ(Option<ucred>(pair.one, SO_PEERCRED).pid, ::getpid());
}

TEST_F(SocketTest, PidfdOpenNamesAPeer) {
  Child child([] { return ::pause(); });
  const Fd pidfd = OpenPidfd(child.pid());
  ASSERT_TRUE(pidfd.valid());
  EXPECT_FALSE(IsReadable(pidfd.get()));
  child.Kill();
  EXPECT_TRUE(IsReadable(pidfd.get()));
}

TEST_F(SocketTest, PeerPidfdNamesAPeerWhereTheKernelHasIt) {
  const Fd listener = Listen(1);
  Child child([&] {
    const Fd fd = Socket();
    return Connect(fd) == 0 ? ::pause() : 1;
  });
  pollfd entry = {.fd = listener.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
  const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  int number = -1;
  socklen_t size = sizeof(number);
  if (::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERPIDFD, &number, &size) != 0) {
    ASSERT_EQ(errno, ENOPROTOOPT);
    GTEST_SKIP() << "no SO_PEERPIDFD before Linux 6.5: pidfd_open(2) stands in for it";
  }
  const Fd pidfd(number);
  EXPECT_FALSE(IsReadable(pidfd.get()));
  child.Kill();
  EXPECT_TRUE(IsReadable(pidfd.get()));
}

// --- names ---

TEST_F(SocketTest, AFullBacklogRefusesANonBlockingConnect) {
  constexpr int kBacklog = 2;
  const Fd listener = Listen(kBacklog);
  std::vector<Fd> clients;
  int error = 0;
  while (error == 0 && clients.size() < 100) {
    clients.push_back(Socket());
    error = Connect(clients.back());
  }
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(clients.size(), kBacklog + 2u);  // one more than the backlog, and the one that was refused
}

// Whether that thread sleeps in connect(2).
bool IsConnecting(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/syscall");
  long number = -1;
  return (file >> number) && number == SYS_connect;
}

TEST_F(SocketTest, WhoWaitsForAPlaceInTheBacklogStandsInALine) {
  const Fd listener = Listen(0);
  const Fd first = Socket();
  ASSERT_EQ(Connect(first), 0);
  std::array<std::atomic<pid_t>, 2> threads{};
  std::array<std::atomic<bool>, 2> connected{};
  std::vector<std::thread> waiting;
  for (size_t i = 0; i < threads.size(); ++i) {
    waiting.emplace_back([&, i] {
      const Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
      threads[i] = ::gettid();
      EXPECT_EQ(Connect(fd), 0);
      connected[i] = true;
    });
    while (!IsConnecting(threads[i])) std::this_thread::yield();
  }
  for (size_t i = 0; i < threads.size(); ++i) {
    EXPECT_TRUE(Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)).valid());
    while (!connected[i]) std::this_thread::yield();
    EXPECT_EQ(connected[1], i == 1);
  }
  for (std::thread& thread : waiting) thread.join();
}

TEST_F(SocketTest, WhoWaitsForAPlaceInTheBacklogWaitsNoLongerThanHeSays) {
  const Fd listener = Listen(0);
  const Fd first = Socket();
  ASSERT_EQ(Connect(first), 0);
  const Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const timeval timeout = {.tv_sec = 0, .tv_usec = 1'000};
  ASSERT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)), 0);
  EXPECT_EQ(Connect(fd), EAGAIN);
}

TEST_F(SocketTest, AStaleNameRefuses) {
  { const Fd listener = Listen(1); }
  EXPECT_EQ(Connect(Socket()), ECONNREFUSED);
}

TEST_F(SocketTest, ANameThatNobodyHasIsNoFile) {
  EXPECT_EQ(Connect(Socket()), ENOENT);
}

TEST_F(SocketTest, AnUnlinkedListenerStillAcceptsItsBacklog) {
  const Fd listener = Listen(1);
  const Fd client = Socket();
  ASSERT_EQ(Connect(client), 0);
  ASSERT_EQ(::unlink(path().c_str()), 0);
  EXPECT_TRUE(Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)).valid());
}

TEST_F(SocketTest, AConnectionThatWasNeverAcceptedIsHungUp) {
  Fd listener = Listen(1);
  const Fd client = Socket();
  ASSERT_EQ(Connect(client), 0);
  listener.Reset();
  pollfd entry = {.fd = client.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
  EXPECT_NE(entry.revents & POLLHUP, 0);
}

}  // namespace
}  // namespace nearcall::testing
