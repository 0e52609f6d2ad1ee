// SPDX-License-Identifier: Apache-2.0

// Servers that are killed at random moments: while they start, serve, and shut down.
#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "fixture.h"
#include "handlers.h"
#include "measured.h"
#include "support/leak_check.h"
#include "torture/clients.h"
#include "torture/executioner.h"
#include "torture/leftovers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using testing::Resources;

constexpr size_t kBatch = 500;
constexpr size_t kThreads = 2;
constexpr base::SteadyNs kAllEndWithin = 20'000'000'000;  // before deadlines end calls, and the executioner goes

// Starts, serves, and shuts down, again and again.
void BeServer(Stage& stage, std::mt19937& random) {
  for (;;) {
    EchoService echo;
    Holding holding;
    echo.may_block = holding.handler();
    stage.phase = Phase::kOpening;
    auto server = ServerBuilder({.expected_clients = 48}).Listen(Address()).Register(&echo).Start();
    if (!server.ok()) return;
    stage.phase = Phase::kWorking;
    absl::SleepFor(absl::Microseconds(random() % 5000));
    stage.phase = Phase::kClosing;
    server->reset();
  }
}

// Message queues of the dead may not have been taken back yet.
bool IsLimit(const absl::Status& status) {
  return TransportName() == "mq" && absl::StrContains(status.message(), "RLIMIT_MSGQUEUE is ");
}

class KillServerTest : public IntegrationTest {
 protected:
  void KillBatch(size_t kills) {
    const Resources before = Resources::Now();
    for (size_t i = 0; i < kills && !HasFailure(); ++i) KillOne();
    EXPECT_EQ(Resources::LeakedSince(before), "");
    StartServer();  // sweeps what the last one left, and goes
    EXPECT_EQ(leftovers_.In(directory()), "");
  }

  void Print(size_t kills) const {
    phases_.Print(absl::StrFormat("%d servers killed over %s", kills, TransportName()),
                  {"forked", "starting", "serving", "shutting down"});
    told_.Print("ms");
    std::string ends;
    for (const auto& [code, count] : ends_) {
      absl::StrAppendFormat(&ends, " %d %s,", count, absl::StatusCodeToString(code));
    }
    absl::PrintF("[ measured ] calls:%s %d of them ended by the kill, each once; leaks: %d\n", ends, told_.count(),
                 HasFailure());
    EXPECT_LE(told_.Percentile(0.99), Strict() ? 20 : 5000);
  }

 private:
  void KillOne() {
    Clients clients(kThreads);
    const Executioner::Death death = executioner_.KillOne(random_);
    clients.Finish();
    EXPECT_LT(base::NowNs() - death.at, kAllEndWithin) << "the clients wait for a server that is dead";
    ASSERT_TRUE(death.by_us) << "a server crashed by itself";
    phases_.Add(death.phase);
    for (const Clients::Call& call : clients.calls()) Check(call, death.at);
    for (const absl::Status& connect : clients.connects()) {
      EXPECT_TRUE(connect.ok() || connect.code() == StatusCode::kUnavailable || IsLimit(connect)) << connect;
    }
  }

  void Check(const Clients::Call& call, base::SteadyNs killed) {
    EXPECT_EQ(call.ends, 1u) << call.status;
    ++ends_[call.status.code()];
    EXPECT_TRUE(call.status.ok() || call.status.code() == StatusCode::kUnavailable || IsLimit(call.status))
        << call.status;
    if (call.status.code() != StatusCode::kUnavailable || call.begun > killed || call.ended < killed) return;
    told_.Add(static_cast<double>(call.ended - killed) / 1e6);
  }

  const Leftovers leftovers_;
  Executioner executioner_{BeServer};
  std::mt19937 random_{std::random_device{}()};
  PhaseCounts phases_;
  Measured told_{"from kill -9 of the server to UNAVAILABLE"};
  std::map<StatusCode, size_t> ends_;
};

TEST_F(KillServerTest, AtRandomMoments) {
  const size_t kills = TortureCount("NEARCALL_TORTURE_KILLS", 250);
  for (size_t done = 0; done < kills && !HasFailure(); done += kBatch) KillBatch(std::min(kBatch, kills - done));
  Print(kills);
}

}  // namespace
}  // namespace nearcall::integration
