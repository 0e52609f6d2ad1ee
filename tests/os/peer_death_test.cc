// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "os/child.h"

// How the death of a peer is seen, whatever it was doing.
namespace nearcall::testing {
namespace {

using base::Fd;

constexpr int kLongMs = 10'000;

struct SocketPair {
  SocketPair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours = Fd(ends[0]);
    theirs = Fd(ends[1]);
  }
  Fd ours, theirs;
};

// What poll(2) sees at `fd`; 0 after `timeout_ms`.
int Poll(const Fd& fd, int timeout_ms) {
  pollfd entry = {.fd = fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, timeout_ms) == 1 ? entry.revents : 0;
}

int Sleep() {
  for (;;) ::pause();
}

TEST(PeerDeathTest, KilledItHangsUp) {
  SocketPair pair;
  Child peer([&] { return Sleep(); });
  pair.theirs.Reset();
  EXPECT_EQ(Poll(pair.ours, 0), 0);
  peer.Kill();
  EXPECT_NE(Poll(pair.ours, kLongMs) & POLLHUP, 0);
}

TEST(PeerDeathTest, WhatItHasSentBeforeCanBeRead) {
  SocketPair pair;
  Child peer([&] { return static_cast<int>(::send(pair.theirs.get(), "last", 4, 0)) - 4; });
  pair.theirs.Reset();
  EXPECT_EQ(peer.Wait(), 0);
  EXPECT_NE(Poll(pair.ours, kLongMs) & POLLIN, 0);
  char text[8];
  EXPECT_EQ(::recv(pair.ours.get(), text, sizeof(text), 0), 4);
  EXPECT_EQ(::recv(pair.ours.get(), text, sizeof(text), 0), 0);
}

// The hang-up does not come while a child of the dead peer holds the socket; the pidfd does not care.
TEST(PeerDeathTest, ItsPidfdTellsEvenWhileItsForkedChildHoldsTheSocket) {
  SocketPair pair;
  Child peer([&] {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      ::alarm(30);
      return Sleep();
    }
    ::send(pair.theirs.get(), &grandchild, sizeof(grandchild), 0);
    return Sleep();
  });
  pair.theirs.Reset();
  pid_t grandchild = 0;
  ASSERT_EQ(::recv(pair.ours.get(), &grandchild, sizeof(grandchild), 0), ssize_t{sizeof(grandchild)});
  const Fd pidfd = OpenPidfd(peer.pid());

  EXPECT_EQ(Poll(pidfd, 0), 0);
  peer.Kill();
  EXPECT_NE(Poll(pidfd, kLongMs) & POLLIN, 0);
  EXPECT_EQ(Poll(pair.ours, 0), 0);
  ::kill(grandchild, SIGKILL);
  EXPECT_NE(Poll(pair.ours, kLongMs) & POLLHUP, 0);
}

}  // namespace
}  // namespace nearcall::testing
