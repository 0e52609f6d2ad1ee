// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/credentials.h"

#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "fake_peer.h"
#include "process.h"
#include "support/refused_call.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport::testing {
namespace {

constexpr uint32_t kSoPeerPidfd = 77;

TEST(CredentialsTest, NobodyIsNeverTrusted) {
  constexpr auto kNobody = static_cast<uid_t>(-1);
  EXPECT_FALSE(IsTrusted(kNobody, {}));
  EXPECT_FALSE(IsTrusted(kNobody, {kNobody}));
  EXPECT_TRUE(IsTrusted(::geteuid(), {}));
  EXPECT_TRUE(IsTrusted(0, {}));
}

// Before Linux 6.5.
TEST(CredentialsTest, APeerHasAPidfdThoughTheKernelHasNoneForItsSocket) {
  const auto [ours, theirs] = SocketPair();
  Child child([&, &socket = ours] {
    nearcall::testing::RefuseSystemCalls(
        {.number = SYS_getsockopt, .argument = 2, .mask = 0xffffffff, .value = kSoPeerPidfd}, ENOPROTOOPT);
    const base::Fd parent = OpenPeerPidfd(socket, ::getppid());
    return parent.valid() && (::fcntl(parent.get(), F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 1;
  });
  EXPECT_EQ(child.Wait(), 0);
}

// As Linux 6.5 to 6.15 say of a peer that is dead and gone: whoever has its number now is somebody else.
TEST(CredentialsTest, APeerThatIsGoneHasNoPidfd) {
  const auto [ours, theirs] = SocketPair();
  Child child([&, &socket = ours] {
    nearcall::testing::RefuseSystemCalls(
        {.number = SYS_getsockopt, .argument = 2, .mask = 0xffffffff, .value = kSoPeerPidfd}, ESRCH);
    return OpenPeerPidfd(socket, ::getppid()).valid() ? 1 : 0;
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(CredentialsTest, AProcessThatIsNotVisibleHereHasNoPidfd) {
  const auto [ours, theirs] = SocketPair();
  EXPECT_FALSE(OpenPeerPidfd(ours, 0).valid());
}

// --- a process that gets the number of another one ---

// Lives as long as this object. Only the privileged may choose a number.
class ProcessWithNumber {
 public:
  explicit ProcessWithNumber(pid_t number) {
    clone_args args{};
    args.exit_signal = SIGCHLD;
    args.set_tid = reinterpret_cast<uint64_t>(&number);
    args.set_tid_size = 1;
    pid_ = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args)));
    while (pid_ == 0) ::pause();
  }
  ~ProcessWithNumber() {
    if (!lives()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ProcessWithNumber(const ProcessWithNumber&) = delete;

  bool lives() const { return pid_ > 0; }

 private:
  pid_t pid_;
};

// As if `pid` had said it, which only the privileged may.
bool SayAs(pid_t pid, const base::Fd& socket, std::span<const std::byte> bytes) {
  const ucred sender{.pid = pid, .uid = ::geteuid(), .gid = ::getegid()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(sender))] = {};
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof(sender));
  std::memcpy(CMSG_DATA(header), &sender, sizeof(sender));
  return ::sendmsg(socket.get(), &message, MSG_NOSIGNAL) >= 0;
}

// A client that has said hello, on a connection that it made itself, and has died; this process keeps the socket open,
// and says the rest.
TEST(PidReuseTest, ThePidfdIsThatOfTheClient) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  const base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  Child client([&] {
    const sockaddr_un address = SocketAddress(names / "echo");
    const bool said = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                      SendHello(socket, Encode(GoodClientHello())).ok();
    return said ? 0 : 1;
  });
  const pid_t number = client.pid();
  ASSERT_EQ(client.Wait(), 0);
  const ProcessWithNumber successor(number);
  if (!successor.lives()) GTEST_SKIP() << "NOT TESTED: this user may not choose the number of a process";
  base::Fd accepted(::accept4(listener->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const auto handshake = ServerHandshake::Start(std::move(accepted), Server());
  ASSERT_EQ(handshake->Step(), Progress::kWaiting) << handshake->error();
  ASSERT_TRUE(ReceiveHello(socket, Taking::kTake).value().has_value());
  ASSERT_TRUE(SayAs(number, socket, EncodeAck(absl::StatusCode::kOk)));
  ASSERT_EQ(handshake->Step(), Progress::kDone) << handshake->error();
  const Connection server = handshake->Take();
  EXPECT_EQ(server.peer.pid, number);
  // Before Linux 6.16 there may be none.
  EXPECT_TRUE(!server.peer_pidfd.valid() || WaitReadable(server.peer_pidfd.get(), 0)) << "that of its successor";
}

// A client that inherited its socket, so that only its number is known, and has died with its last word.
TEST(PidReuseTest, ThePidfdIsOlderThanTheAnswer) {
  auto [ours, theirs] = SocketPair();
  Child client([&, &socket = ours] {
    if (!SendHello(socket, Encode(GoodClientHello())).ok()) return 1;
    return WaitReadable(socket.get()) && ReceiveHello(socket, Taking::kTake).ok() &&
                   SendHello(socket, EncodeAck(absl::StatusCode::kOk)).ok()
               ? 0
               : 2;
  });
  const pid_t number = client.pid();
  const auto handshake = ServerHandshake::Start(std::move(theirs), Server());
  WaitReadable(handshake->fd());
  handshake->Step();
  ASSERT_EQ(client.Wait(), 0);
  const ProcessWithNumber successor(number);
  if (!successor.lives()) GTEST_SKIP() << "NOT TESTED: this user may not choose the number of a process";
  ASSERT_EQ(handshake->Step(), Progress::kDone) << handshake->error();
  const Connection connection = handshake->Take();
  ASSERT_TRUE(connection.peer_pidfd.valid());
  EXPECT_TRUE(WaitReadable(connection.peer_pidfd.get(), 0)) << "that of its successor";
}

}  // namespace
}  // namespace nearcall::transport::testing
