// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <random>

#include "crash/callers.h"
#include "fixture.h"
#include "measured.h"
#include "support/leak_check.h"
#include "support/process.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using testing::Process;
using testing::Resources;

constexpr size_t kThreads = 64;

double MsSince(base::SteadyNs start) {
  return static_cast<double>(base::NowNs() - start) / 1e6;
}

// A server process is killed while many threads are in calls, again and again, and its successor is found.
// NEARCALL_TORTURE_ROUNDS says how often.
class ServerKilled : public IntegrationTest {
 protected:
  static Process StartPeer() {
    Process server(ECHO_PEER, {"server", Address(), "256"});
    EXPECT_EQ(server.ReadLine(), "ready");
    return server;
  }

  static std::string Describe(Process& server) {
    server.WriteLine("describe yourself");
    return server.ReadLine();
  }

  void KillUnderLoad(Process& server, const std::shared_ptr<Channel>& channel) {
    Callers callers(Echo::Stub(channel), kThreads);
    EXPECT_TRUE(callers.WaitUntilBusy(std::uniform_int_distribution<size_t>(0, 500)(random_)))
        << channel->DebugString() << "\n"
        << Describe(server);
    const base::SteadyNs killed = base::NowNs();
    server.StartKill();
    EXPECT_EQ(server.ReadLine(), "");
    const base::SteadyNs dead = base::NowNs();
    deaths_.Add(MsSince(killed));
    callers.Join();
    for (const Callers::End& end : callers.Ends()) {
      EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable) << end.status;
      ends_.Add(static_cast<double>(end.at - killed) / 1e6);
      ends_after_death_.Add(static_cast<double>(end.at - dead) / 1e6);
    }
    server.Kill();
  }

  void CallSuccessor(const Echo::Stub& stub) {
    const base::SteadyNs before = base::NowNs();
    const absl::Status status = stub.Say(MakeBlob("hello")).status();
    EXPECT_TRUE(status.ok()) << status;
    reconnects_.Add(MsSince(before));
  }

  static void ExpectNoMore(const Resources& now, const Resources& before) {
    EXPECT_EQ(now.descriptors.size(), before.descriptors.size());
    EXPECT_EQ(now.mappings.size(), before.mappings.size());
    EXPECT_EQ(now.threads, before.threads);
    EXPECT_EQ(now.names, before.names);
  }

  std::mt19937 random_{std::random_device{}()};
  Measured deaths_{"kill -9 of the server until the kernel has closed its descriptors"};
  Measured ends_{"kill -9 of the server until the end of each call"};
  Measured ends_after_death_{"closed descriptors until the end of each call"};
  Measured reconnects_{"first call to the successor"};
};

TEST_F(ServerKilled, EveryCallEndsUnavailableAndTheSuccessorIsReached) {
  const size_t rounds = TortureCount("NEARCALL_TORTURE_ROUNDS", 20);
  Process first = StartPeer();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  Must(stub.Say(MakeBlob("hello")));
  const Resources connected = Resources::Now();
  KillUnderLoad(first, channel);
  for (size_t round = 1; round < rounds && !HasFailure(); ++round) {
    Process server = StartPeer();
    CallSuccessor(stub);
    ExpectNoMore(Resources::Now(), connected);
    KillUnderLoad(server, channel);
  }
  for (const Measured* measured : {&deaths_, &ends_, &ends_after_death_, &reconnects_}) measured->Print("ms");
  EXPECT_LE(ends_after_death_.Percentile(0.99), Strict() ? 5 : 5000);
}

TEST_F(ServerKilled, LeavesNoProcessAndTheSuccessorNoName) {
  Process server = StartPeer();
  KillUnderLoad(server, Connect());
  Process successor = StartPeer();
  EXPECT_EQ(successor.End(), 0);
  for (const auto& file : std::filesystem::directory_iterator(directory())) {
    EXPECT_FALSE(file.is_socket()) << file.path() << " is left";
  }
  if (testing::kSanitizers) return;  // they may have a process of their own
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace nearcall::integration
