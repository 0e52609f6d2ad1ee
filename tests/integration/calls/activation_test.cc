// SPDX-License-Identifier: Apache-2.0

// Servers that a service manager starts, with sockets that it has opened: systemd.socket(5).
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fd.h"
#include "child.h"
#include "fixture.h"
#include "support/process.h"
#include "support/scoped_env.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr char kActivator[] = "/usr/bin/systemd-socket-activate";

class ActivationTest : public IntegrationTest {
 protected:
  void SetUp() override { NEEDS_SOCKETS(); }
  std::string PathOf(const std::string& name) const { return absl::StrCat(directory(), "/", name); }
  std::string AddressAt(const std::string& name) const { return absl::StrCat(TransportName(), ":", PathOf(name)); }

  sockaddr_un AddressOf(const std::string& name) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, PathOf(name).c_str());
    return address;
  }

  base::Fd Open(const std::string& name, int type) const {
    const sockaddr_un address = AddressOf(name);
    base::Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  // As a .socket unit does.
  base::Fd ListenAt(const std::string& name) const {
    base::Fd fd = Open(name, SOCK_SEQPACKET);
    EXPECT_EQ(::listen(fd.get(), 16), 0);
    return fd;
  }

  // As systemd starts a service: its sockets are the first descriptors behind the standard ones.
  static testing::Process Start(const std::vector<const base::Fd*>& sockets, const std::string& names,
                                const std::string& address) {
    std::vector<std::string> redirections;
    std::vector<base::Fd> passed;
    for (const base::Fd* socket : sockets) {
      passed.emplace_back(::fcntl(socket->get(), F_DUPFD, 100));
      redirections.push_back(absl::StrCat(2 + passed.size(), "<&", passed.back().get()));
    }
    // $$ stays that of the program.
    const std::string script =
        absl::StrCat("exec env LISTEN_PID=$$ LISTEN_FDS=", sockets.size(), " LISTEN_FDNAMES=", names,
                     " \"$0\" server \"$1\" 4 ", absl::StrJoin(redirections, " "));
    return testing::Process("/bin/bash", {"-c", script, ECHO_PEER, address});
  }

  static absl::Status StartError(absl::string_view address = "systemd:") {
    return ServerBuilder().Listen(address).Start().status();
  }
};

// Who connects before the server runs waits in the backlog.
TEST_F(ActivationTest, AServerServesTheSocketThatItWasPassed) {
  const base::Fd socket = ListenAt("echo");
  auto channel = std::async(std::launch::async, [&] { return Connect({}, AddressAt("echo")); });
  testing::Process server = Start({&socket}, "unknown", "systemd:");
  EXPECT_EQ(server.ReadLine(), "ready");
  EXPECT_TRUE(Echo::Stub(channel.get()).Say(MakeBlob("hi")).ok());
  EXPECT_EQ(server.End(), 0);
  EXPECT_EQ(::access(PathOf("echo").c_str(), F_OK), 0) << "the name is the service manager's";
}

TEST_F(ActivationTest, SocketsAreToldApartByTheirNames) {
  const base::Fd other = ListenAt("other");
  const base::Fd echo_socket = ListenAt("echo");
  testing::Process server = Start({&other, &echo_socket}, "other:web", "systemd:web");
  EXPECT_EQ(server.ReadLine(), "ready");
  EXPECT_TRUE(ConnectStub({}, AddressAt("echo")).Say(MakeBlob("hi")).ok());
  EXPECT_EQ(server.End(), 0);
}

// What clients know of it before it has said a word.
TEST_F(ActivationTest, TheKernelTellsClientsOfTheServerAndNotOfWhoHasOpenedItsSocket) {
  const base::Fd socket = ListenAt("echo");
  testing::Process server = Start({&socket}, "unknown", "systemd:");
  EXPECT_EQ(server.ReadLine(), "ready");
  const base::Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = AddressOf("echo");
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ucred peer{};
  socklen_t size = sizeof(peer);
  ASSERT_EQ(::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
  EXPECT_EQ(peer.pid, server.pid());
  EXPECT_EQ(server.End(), 0);
}

TEST_F(ActivationTest, AllAreServedWhereNoneIsNamed) {
  const base::Fd one = ListenAt("one");
  const base::Fd two = ListenAt("two");
  testing::Process server = Start({&one, &two}, "a:b", "systemd:");
  EXPECT_EQ(server.ReadLine(), "ready");
  EXPECT_TRUE(ConnectStub({}, AddressAt("one")).Say(MakeBlob("hi")).ok());
  EXPECT_TRUE(ConnectStub({}, AddressAt("two")).Say(MakeBlob("hi")).ok());
  EXPECT_EQ(server.End(), 0);
}

TEST_F(ActivationTest, TheManagerHearsWhenTheServerIsReadyAndWhenItStops) {
  const base::Fd socket = ListenAt("echo");
  const base::Fd manager = Open("notify", SOCK_DGRAM);
  const testing::ScopedEnv notify{"NOTIFY_SOCKET", PathOf("notify").c_str()};
  const auto heard = [&] {
    char text[64];
    const ssize_t size = ::recv(manager.get(), text, sizeof(text), 0);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  };
  testing::Process server = Start({&socket}, "unknown", "systemd:");
  EXPECT_EQ(heard(), "READY=1");
  EXPECT_EQ(server.ReadLine(), "ready");
  EXPECT_EQ(server.End(), 0);
  EXPECT_EQ(heard(), "STOPPING=1");
}

TEST_F(ActivationTest, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(StartError(), FailsWith(StatusCode::kFailedPrecondition, "no socket was passed"));
  const testing::ScopedEnv count{"LISTEN_FDS", "1"};
  {
    const testing::ScopedEnv pid{"LISTEN_PID", "1"};
    EXPECT_THAT(StartError(), FailsWith(StatusCode::kFailedPrecondition, "are for process $LISTEN_PID, \"1\""));
  }
  const testing::ScopedEnv pid{"LISTEN_PID", std::to_string(::getpid()).c_str()};
  const testing::ScopedEnv names{"LISTEN_FDNAMES", "echo"};
  EXPECT_THAT(StartError("systemd:web"), FailsWith(StatusCode::kNotFound, "but these: echo"));
  const testing::ScopedEnv nonsense{"LISTEN_FDS", "many"};
  EXPECT_THAT(StartError(), FailsWith(StatusCode::kFailedPrecondition, "no number of sockets"));
}

TEST_F(ActivationTest, EachSocketIsTakenOnce) {
  const base::Fd number(::open("/dev/null", O_RDONLY | O_CLOEXEC));  // 3 is not one that the child needs
  const base::Fd socket = ListenAt("echo");
  Child child([&](Link&) {
    ASSERT_EQ(::dup2(socket.get(), 3), 3);
    const testing::ScopedEnv pid{"LISTEN_PID", std::to_string(::getpid()).c_str()};
    const testing::ScopedEnv count{"LISTEN_FDS", "1"};
    const auto server = ServerBuilder().Listen("systemd:").Start();
    EXPECT_TRUE(server.ok()) << server.status();
    EXPECT_THAT(StartError(), FailsWith(StatusCode::kFailedPrecondition, "has been taken already"));
  });
  EXPECT_EQ(child.Join(), 0);
}

TEST_F(ActivationTest, AStreamSocketIsRefused) {
  const base::Fd socket = Open("stream", SOCK_STREAM);
  EXPECT_EQ(::listen(socket.get(), 16), 0);
  testing::Process server = Start({&socket}, "unknown", "systemd:");
  EXPECT_EQ(server.ReadLine(), "");
  EXPECT_EQ(server.End(), 1);
}

TEST_F(ActivationTest, AChannelDoesNotConnectThere) {
  EXPECT_THAT(Channel::Connect("systemd:echo").status(), FailsWith(StatusCode::kInvalidArgument, "only a server"));
}

TEST_F(ActivationTest, SystemdsOwnActivatorStartsTheServer) {
  if (::access(kActivator, X_OK) != 0) GTEST_SKIP() << "no systemd-socket-activate";
  testing::Process server(
      kActivator, {"--seqpacket", absl::StrCat("--listen=", PathOf("echo")), ECHO_PEER, "server", "systemd:", "4"});
  // It is started by the first client, who connects with his first call where he has an event queue.
  const auto channel = Connect({.connect_timeout = kLong}, AddressAt("echo"));
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob("hi"), {.timeout = kLong, .wait_for_ready = true}).ok());
  EXPECT_EQ(server.ReadLine(), "ready");
  EXPECT_EQ(server.End(), 0);
}

}  // namespace
}  // namespace nearcall::integration
