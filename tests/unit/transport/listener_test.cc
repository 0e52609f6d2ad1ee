// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <atomic>
#include <barrier>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "fake_transport.h"
#include "process.h"
#include "support/refused_call.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct stat StatusOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

// A connection to `path`, or none, and errno.
base::Fd ConnectedTo(const std::string& path) {
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return socket;
  return base::Fd();
}

// The errno of a connection to `path`, 0 if it stands.
int ConnectTo(const std::string& path) {
  return ConnectedTo(path).valid() ? 0 : errno;
}

base::Fd BoundSocket(const std::string& path, int type) {
  base::Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(path);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

// A socket's name as a killed server leaves it.
void LeaveDeadSocket(const std::string& path) {
  BoundSocket(path, SOCK_SEQPACKET);
}

absl::Status BindError(const std::string& address) {
  return Listener::Bind(Parse(address)).status();
}

TEST(ListenerTest, ListensUnderItsNameAndLeavesNothing) {
  const NameDirectory names;
  {
    const auto listener = Listener::Bind(Parse("echo"));
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_EQ((*listener)->name(), names / "echo");
    EXPECT_THAT(names.Entries(), ElementsAre("echo"));
    EXPECT_EQ(ConnectTo(names / "echo"), 0);
    EXPECT_TRUE(base::Fd(::accept4((*listener)->fd(), nullptr, nullptr, SOCK_CLOEXEC)).valid());
  }
  EXPECT_THAT(names.Entries(), IsEmpty());
}

TEST(ListenerTest, NeverBlocksAndIsNotInherited) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  EXPECT_EQ(::accept4(listener->fd(), nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(::fcntl(listener->fd(), F_GETFD), FD_CLOEXEC);
}

// The kernel writes the sender's name on a message only if somebody has asked for it before it is sent.
void ExpectIdentifiesAtOnce(const Listener& listener, const std::string& path) {
  const base::Fd client = ConnectedTo(path);
  ASSERT_TRUE(client.valid());
  const base::Fd accepted(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  const std::byte hello{1};
  ASSERT_EQ(::send(client.get(), &hello, 1, 0), 1);
  auto message = ReceiveHello(accepted, Taking::kTake);
  ASSERT_TRUE(message.ok() && message->has_value()) << message.status();
  ASSERT_TRUE((*message)->sender.has_value());
  EXPECT_EQ((*message)->sender->pid, ::getpid());
}

TEST(ListenerTest, WhoSpeaksTheMomentItIsAcceptedIsIdentified) {
  const NameDirectory names;
  ExpectIdentifiesAtOnce(*Listener::Bind(Parse("echo")).value(), names / "echo");
  base::Fd inherited = BoundSocket(names / "inherited", SOCK_SEQPACKET);
  ASSERT_EQ(::listen(inherited.get(), 1), 0);
  ExpectIdentifiesAtOnce(*Listener::Adopt(std::move(inherited)).value(), names / "inherited");
}

TEST(ListenerTest, ModeDoesNotDependOnTheUmask) {
  const NameDirectory names;
  for (const mode_t mask : {0000u, 0022u, 0777u}) {
    const ScopedUmask umask(mask);
    const auto by_name = Listener::Bind(Parse("echo")).value();
    const auto by_path = Listener::Bind(Parse(names / "public")).value();
    EXPECT_EQ(StatusOf(names / "echo").st_mode & 0777, 0600u) << mask;
    EXPECT_EQ(StatusOf(names / "public").st_mode & 0777, 0666u) << mask;
  }
}

constexpr nearcall::testing::SystemCalls kListen{.number = SYS_listen, .argument = 0, .mask = 0, .value = 0};

// Until it listens nobody can connect. The umask of this process allows everything; a directory that an administrator
// made may, too.
TEST(ListenerTest, NobodyElseCanConnectBeforeItHasItsMode) {
  const NameDirectory names;
  const ScopedUmask umask(0);
  Child server([] {
    nearcall::testing::DieAtSystemCalls(kListen);
    Listener::Bind(Parse("echo")).IgnoreError();
    return 0;
  });
  EXPECT_EQ(server.Wait(), 128 + SIGSYS);
  EXPECT_EQ(StatusOf(names / ".echo.new").st_mode & 0777, 0600u);
}

// A server that cannot listen (here for want of a right to) never has a name; the other order would leave it one.
TEST(ListenerTest, WhereNobodyCanListenThereIsNoName) {
  const NameDirectory names;
  Child server([] {
    nearcall::testing::RefuseSystemCalls(kListen, EACCES);
    return Listener::Bind(Parse("echo")).ok() ? 1 : 0;
  });
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_EQ(ConnectTo(names / "echo"), ENOENT);
}

// From the moment at which there is a name.
TEST(ListenerTest, WhoFindsTheNameFindsAServer) {
  const NameDirectory names;
  std::atomic<bool> looks{false};
  std::atomic<bool> has_found{false};
  std::atomic<bool> stop{false};
  std::thread client([&] {
    while (!stop) {
      const int error = ConnectTo(names / "echo");
      looks = true;
      if (error == ENOENT) continue;
      EXPECT_EQ(error, 0);
      has_found = true;
      while (has_found && !stop) std::this_thread::yield();
    }
  });
  for (int round = 0; round < 200; ++round) {
    while (!looks) std::this_thread::yield();
    auto listener = Listener::Bind(Parse("echo"));
    while (!has_found) std::this_thread::yield();
    listener = absl::UnknownError("gone");
    looks = false;
    has_found = false;
  }
  stop = true;
  client.join();
}

TEST(ListenerTest, ABurstOfClientsFindsRoomThoughNobodyAcceptsYet) {
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo"));
  const sockaddr_un address = SocketAddress(names / "echo");
  std::vector<base::Fd> clients;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << i;
  }
}

TEST(ListenerTest, ALiveNameIsTaken) {
  const NameDirectory names;
  const auto first = Listener::Bind(Parse("echo"));
  ASSERT_TRUE(first.ok());
  const absl::Status error = BindError("four:echo");
  EXPECT_TRUE(absl::IsAlreadyExists(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("four:echo"));
  EXPECT_THAT(error.message(), HasSubstr(names / "echo"));
  EXPECT_EQ(ConnectTo(names / "echo"), 0);
}

TEST(ListenerTest, ANameWithAFullBacklogIsLive) {
  const NameDirectory names;
  const auto first = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(::listen(first->fd(), 0), 0);
  ASSERT_EQ(ConnectTo(names / "echo"), 0);
  EXPECT_THAT(BindError("echo").message(), HasSubstr("a live server"));
}

TEST(ListenerTest, TakesOverTheNameOfAKilledServer) {
  const NameDirectory names;
  for (const std::string& address : {std::string("echo"), names / "path"}) {
    Event bound;
    Child server([&] {
      const auto listener = Listener::Bind(Parse(address));
      bound.Set();
      return ::pause();
    });
    bound.Wait();
    EXPECT_TRUE(absl::IsAlreadyExists(BindError(address)));
    server.Kill();
    EXPECT_TRUE(BindError(address).ok());
  }
  EXPECT_THAT(names.Entries(), IsEmpty());
}

TEST(ListenerTest, TwoServersOfOneNameNeverBothWin) {
  const NameDirectory names;
  for (int round = 0; round < 200; ++round) {
    if (round % 2 == 1) LeaveDeadSocket(names / "echo");
    std::barrier start(2);
    std::array<absl::StatusOr<std::unique_ptr<Listener>>, 2> results;
    const auto race = [&](size_t who) {
      start.arrive_and_wait();
      results[who] = Listener::Bind(Parse("echo"));
    };
    std::thread other(race, 1);
    race(0);
    other.join();
    ASSERT_NE(results[0].ok(), results[1].ok()) << results[0].status() << " " << results[1].status();
    ASSERT_TRUE(absl::IsAlreadyExists(results[0].ok() ? results[1].status() : results[0].status()));
    ASSERT_EQ(ConnectTo(names / "echo"), 0);
    ASSERT_THAT(names.Entries(), ElementsAre("echo"));
  }
}

TEST(ListenerTest, TwoProcessesOfOneNameNeverBothWin) {
  const NameDirectory names;
  Event start;
  Event tried;
  Event end;
  const auto server = [&] {
    start.Wait();
    const auto listener = Listener::Bind(Parse("echo"));
    tried.Set();
    end.Wait();
    return listener.ok() ? 1 : 0;
  };
  for (int round = 0; round < 20; ++round) {
    Child a(server);
    Child b(server);
    for (Event* event : {&start, &start}) event->Set();
    for (Event* event : {&tried, &tried}) event->Wait();
    for (Event* event : {&end, &end}) event->Set();
    ASSERT_EQ(a.Wait() + b.Wait(), 1);
  }
}

TEST(ListenerTest, StartingSweepsNoNameThatLivesAndNothingElse) {
  const NameDirectory names;
  const base::Fd somebody_elses = BoundSocket(names / "stream", SOCK_STREAM);
  std::ofstream(names / "file") << "text";
  const auto live = Listener::Bind(Parse("live"));
  const auto echo = Listener::Bind(Parse("echo"));
  EXPECT_THAT(names.Entries(), ::testing::UnorderedElementsAre("live", "echo", "file", "stream"));
}

TEST(ListenerTest, LeavesTheNeighboursOfAPathAlone) {
  const TemporaryDirectory directory;
  LeaveDeadSocket(directory / "neighbour");
  const auto echo = Listener::Bind(Parse(directory / "echo"));
  EXPECT_THAT(directory.Entries(), ::testing::UnorderedElementsAre("neighbour", "echo"));
}

TEST(ListenerTest, NeverReplacesWhatIsNoDeadServer) {
  const NameDirectory names;
  std::ofstream(names / "file") << "text";
  ASSERT_EQ(::symlink("/etc/passwd", (names / "link").c_str()), 0);
  const base::Fd somebody_elses = BoundSocket(names / "stream", SOCK_STREAM);
  for (const char* name : {"file", "link", "stream"}) {
    const absl::Status error = BindError(name);
    EXPECT_TRUE(absl::IsAlreadyExists(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr("remove it")) << error;
  }
  EXPECT_EQ(names.Entries().size(), 3u);
}

TEST(ListenerTest, ASymlinkForTheLockIsNotFollowed) {
  const NameDirectory names;
  const TemporaryDirectory elsewhere;
  ASSERT_EQ(::symlink((elsewhere / "victim").c_str(), (names / ".lock").c_str()), 0);
  EXPECT_FALSE(BindError("echo").ok());
  EXPECT_THAT(elsewhere.Entries(), IsEmpty());
}

TEST(ListenerTest, ALockFileThatWasLeftIsTakenOver) {
  const NameDirectory names;
  std::ofstream(names / ".lock") << "";
  EXPECT_TRUE(BindError("echo").ok());
  EXPECT_THAT(names.Entries(), IsEmpty());
}

TEST(ListenerTest, UnlinksOnlyItsOwnSocket) {
  const NameDirectory names;
  auto first = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(::unlink((names / "echo").c_str()), 0);
  const auto second = Listener::Bind(Parse("echo"));
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(first->Unlink().ok());
  first.reset();
  EXPECT_EQ(ConnectTo(names / "echo"), 0);
}

TEST(ListenerTest, ANameThatItMayNotRemoveIsAnError) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else, as setuid(2) does after the start";
  const NameDirectory names;
  const auto listener = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(::seteuid(65534), 0);
  const absl::Status status = listener->Unlink();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(names / "echo", ", stays behind: remove it")));
  EXPECT_EQ(::unlink((names / "echo").c_str()), 0);
}

TEST(ListenerTest, ASuccessorCanStartAfterUnlinkWhileTheBacklogIsStillServed) {
  const NameDirectory names;
  const auto first = Listener::Bind(Parse("echo")).value();
  ASSERT_EQ(ConnectTo(names / "echo"), 0);
  EXPECT_TRUE(first->Unlink().ok());
  EXPECT_EQ(ConnectTo(names / "echo"), ENOENT);
  EXPECT_TRUE(Listener::Bind(Parse("echo")).ok());
  const base::Fd accepted(::accept4(first->fd(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(accepted.valid());
}

TEST(ListenerTest, AForkedChildLeavesTheNameToItsParent) {
  const NameDirectory names;
  auto listener = Listener::Bind(Parse("echo")).value();
  Child child([&] {
    EXPECT_TRUE(listener->Unlink().ok());
    listener.reset();
    return 0;
  });
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(ConnectTo(names / "echo"), 0);
}

TEST(ListenerTest, AMissingDirectoryIsNamed) {
  const TemporaryDirectory directory;
  const absl::Status error = BindError(directory / "absent/echo");
  EXPECT_TRUE(absl::IsFailedPrecondition(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr(directory / "absent"));
}

TEST(ListenerTest, WithoutDescriptorsNamesTheLimitAndLeavesNothing) {
  const NameDirectory names;
  for (int room = 0; room < 3; ++room) {
    const NoMoreDescriptors limit(room);
    const absl::Status error = BindError("echo");
    EXPECT_TRUE(absl::IsResourceExhausted(error)) << room << error;
    EXPECT_THAT(error.message(), HasSubstr("RLIMIT_NOFILE is ")) << error;
  }
  EXPECT_THAT(names.Entries(), IsEmpty());
}

TEST(ListenerTest, AnInheritedNumberThatIsNoListenerIsLeftAlone) {
  const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(absl::IsInvalidArgument(BindError(absl::StrCat("fd:", file.get()))));
  EXPECT_GE(::fcntl(file.get(), F_GETFD), 0);
}

TEST(ListenerTest, AdoptsAListeningSocketAndLeavesItsName) {
  const TemporaryDirectory directory;
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
  const sockaddr_un address = SocketAddress(directory / "given");
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  auto listener = Listener::Adopt(std::move(socket)).value();
  EXPECT_EQ(::accept4(listener->fd(), nullptr, nullptr, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(::fcntl(listener->fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(listener->Unlink().ok());
  listener.reset();
  EXPECT_THAT(directory.Entries(), ElementsAre("given"));
}

TEST(ListenerTest, AdoptRefusesEverythingElse) {
  base::Fd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  base::Fd idle(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (base::Fd* fd : {&stream, &idle, &file}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Listener::Adopt(std::move(*fd)).status()));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Listener::Adopt(SocketPair().first).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Listener::Adopt(base::Fd()).status()));
}

}  // namespace
}  // namespace nearcall::transport::testing
