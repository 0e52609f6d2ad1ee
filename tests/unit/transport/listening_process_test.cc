// SPDX-License-Identifier: Apache-2.0

// A server that is killed while another process holds its socket: a forked child that knows nothing of it, or an heir.
#include "transport/rendezvous/listening_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "fake_transport.h"
#include "process.h"
#include "support/asleep.h"
#include "support/refused_call.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kSoPeerPidfd = 77;

base::Fd ConnectedTo(const std::string& path) {
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(path);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

// A server that has forked a child with its socket and was killed. The child runs `heir` until the end of the test.
class ListeningProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto [ours, theirs] = SocketPair();
    if (!MakersPidfd(ours).valid()) GTEST_SKIP() << "SKIPPED: no SO_PEERPIDFD before Linux 6.5";
  }

  using Heir = std::function<void(Listener& listener)>;
  static void Sleep(Listener&) {
    for (;;) ::pause();
  }

  void StartServer(Heir heir) {
    server_.emplace([this, heir] {
      const auto listener = Listener::Bind(Parse("echo"));
      Child child([&] {
        started_.Set();
        // It goes with the test, whoever is its parent by then.
        std::thread([this] {
          end_.Wait();
          ::_exit(0);
        }).detach();
        heir(**listener);
        return 0;
      });
      return ::pause();
    });
    started_.Wait();
  }

  ~ListeningProcessTest() override { end_.Set(); }

  const NameDirectory names_{};
  Event started_;
  Event end_;
  std::optional<Child> server_;
};

// Answers as a server does.
void Serve(Listener& listener) {
  for (;;) AcceptOne(listener).IgnoreError();
}

TEST_F(ListeningProcessTest, ItsDeathIsSeenThoughTheSocketLives) {
  StartServer(Sleep);
  const base::Fd before = ConnectedTo(names_ / "echo");
  const ListeningProcess process(before);
  EXPECT_FALSE(process.IsDead());
  EXPECT_FALSE(WaitReadable(process.fd(), 0));
  server_->Kill();
  EXPECT_TRUE(process.IsDead());
  EXPECT_TRUE(ListeningProcess(ConnectedTo(names_ / "echo")).IsDead());
}

// Half of a client's whole patience would do for all of these, and no machine is that slow.
constexpr base::SteadyNs kSoon = 5'000'000'000;

TEST_F(ListeningProcessTest, AClientDoesNotWaitForAChildThatKnowsNothing) {
  StartServer(Sleep);
  server_->Kill();
  const base::SteadyNs start = base::NowNs();
  const absl::Status error = Connect(Parse("echo"), Client()).status();
  EXPECT_LT(base::NowNs() - start, kSoon);
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
  EXPECT_THAT(error.message(), HasSubstr("the process that did is dead"));
}

// Linux 6.5 to 6.15 have no pidfd for a process that is dead and gone.
TEST_F(ListeningProcessTest, NorWhereTheKernelOnlySaysThatItIsGone) {
  StartServer(Sleep);
  server_->Kill();
  Child client([] {
    nearcall::testing::RefuseSystemCalls(
        {.number = SYS_getsockopt, .argument = 2, .mask = 0xffffffff, .value = kSoPeerPidfd}, ESRCH);
    return absl::IsUnavailable(Connect(Parse("echo"), Client()).status()) ? 0 : 1;
  });
  const base::SteadyNs start = base::NowNs();
  EXPECT_EQ(client.Wait(), 0);
  EXPECT_LT(base::NowNs() - start, kSoon);
}

TEST_F(ListeningProcessTest, NorOneThatWaitsWhenTheServerDies) {
  StartServer(Sleep);
  absl::Status error;
  std::thread client([&] { error = Connect(Parse("echo"), Client()).status(); });
  const base::SteadyNs start = base::NowNs();
  server_->Kill();
  client.join();
  EXPECT_LT(base::NowNs() - start, kSoon);
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
}

TEST_F(ListeningProcessTest, ASuccessorGetsTheNameFromAChildThatKnowsNothing) {
  StartServer(Sleep);
  EXPECT_TRUE(absl::IsAlreadyExists(Listener::Bind(Parse("echo")).status()));
  server_->Kill();
  const auto successor = Listener::Bind(Parse("echo"));
  ASSERT_TRUE(successor.ok()) << successor.status();
  absl::StatusOr<Connection> served;
  std::thread thread([&] { served = AcceptOne(**successor); });
  EXPECT_TRUE(Connect(Parse("echo"), Client()).ok());
  thread.join();
}

TEST_F(ListeningProcessTest, AnHeirThatServesKeepsNameAndClients) {
  // It answers when the client waits already.
  Event client_waits;
  StartServer([&](Listener& listener) {
    client_waits.Wait();
    Serve(listener);
  });
  server_->Kill();
  std::atomic<pid_t> tid{0};
  std::atomic<bool> done{false};
  absl::Status status;
  std::thread client([&] {
    tid = ::gettid();
    status = Connect(Parse("echo"), Client()).status();
    done = true;
  });
  while (!done && !nearcall::testing::IsAsleep(tid)) std::this_thread::yield();
  client_waits.Set();
  client.join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(absl::IsAlreadyExists(Listener::Bind(Parse("echo")).status()));
  EXPECT_THAT(names_.Entries(), ElementsAre("echo"));
}

// Sweeping asks nobody: it would wait for each.
TEST_F(ListeningProcessTest, AnotherServerLeavesTheNameOfAnOrphan) {
  StartServer(Sleep);
  server_->Kill();
  const auto other = Listener::Bind(Parse("other"));
  EXPECT_THAT(names_.Entries(), ::testing::UnorderedElementsAre("echo", "other"));
}

// Whoever takes a socket over may say so: it is the one that is named then.
TEST_F(ListeningProcessTest, TheLastOneThatCalledListenCounts) {
  Event listens;
  StartServer([&](Listener& listener) {
    ::listen(listener.fd(), 8);
    listens.Set();
    Sleep(listener);
  });
  listens.Wait();
  server_->Kill();
  EXPECT_FALSE(ListeningProcess(ConnectedTo(names_ / "echo")).IsDead());
}

// A socket that is inherited says nothing of who serves.
TEST_F(ListeningProcessTest, APairOfSocketsOutlivesItsMaker) {
  const auto [ours, theirs] = SocketPair();
  EXPECT_FALSE(ListeningProcess(ours).IsDead());
}

}  // namespace
}  // namespace nearcall::transport::testing
