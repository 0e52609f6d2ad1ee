// SPDX-License-Identifier: Apache-2.0

// Either side is stopped (SIGSTOP) and goes on again.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "child.h"
#include "fixture.h"
#include "measured.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

constexpr absl::Duration kDeadline = absl::Milliseconds(100);
const std::vector<size_t> kSizes = {0, 100, 5'000, 20'000, 300'000};

void Stop(pid_t pid) {
  ::kill(pid, SIGSTOP);
  ASSERT_EQ(::waitpid(pid, nullptr, WUNTRACED), pid);
}

class StopTest : public IntegrationTest {
 protected:
  // How long a call was over its deadline when it ended.
  void ExpectDeadline(const absl::Status& status, absl::Time begun) {
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
    const absl::Duration late = absl::Now() - begun - kDeadline;
    EXPECT_GE(late, -absl::Milliseconds(1));
    base::MutexLock lock(mutex_);
    late_.Add(absl::ToDoubleMilliseconds(late));
  }

  base::Mutex mutex_;
  Measured late_{"end of a call to a stopped server, after its deadline"};
  std::mt19937 random_{std::random_device{}()};
};

TEST_F(StopTest, CallsToAStoppedServerEndAtTheirDeadlineAndItGoesOn) {
  Child server([this](Link& parent) {
    const auto started = StartServer();
    parent.Tell();
    parent.Await();
  });
  server.link().Await();
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  const Echo::AsyncStub async(channel);
  Must(stub.Say(MakeBlob("")));
  for (size_t round = TortureCount("NEARCALL_TORTURE_ROUNDS", 3); round > 0 && !HasFailure(); --round) {
    Stop(server.pid());
    Counter ends;
    for (const size_t size : kSizes) {
      async.Say(MakeBlob(std::string(size, 'x')),
                [&, begun = absl::Now()](const absl::StatusOr<Blob>& reply) {
                  ExpectDeadline(reply.status(), begun);
                  ends.Add();
                },
                {.timeout = kDeadline});
    }
    const absl::Time begun = absl::Now();
    ExpectDeadline(stub.Say(MakeBlob("blocking"), {.timeout = kDeadline}).status(), begun);
    ends.WaitFor(kSizes.size());
    ::kill(server.pid(), SIGCONT);
    for (const size_t size : kSizes) {
      EXPECT_EQ(Must(stub.Say(MakeBlob(std::string(size, 'y')), {.timeout = kLong})).data().size(), size);
    }
  }
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
  late_.Print("ms");
}

// Stopped anywhere in the middle of calls of all sizes.
TEST_F(StopTest, AStoppedClientHurtsNobodyAndGoesOn) {
  Child client([this](Link& parent) {
    parent.Await();
    const Echo::Stub stub = ConnectStub();
    parent.Tell();
    for (size_t i = 0; true; ++i) {
      const size_t size = kSizes[i % kSizes.size()];
      EXPECT_EQ(Must(stub.Say(MakeBlob(std::string(size, 'x')), {.timeout = 4 * kLong})).data().size(), size);
      if (i % 100 == 0) parent.Tell();
    }
  });
  const auto server = StartServer();
  const Echo::Stub other = ConnectStub();
  client.link().Tell();
  client.link().Await();
  Measured alone("call of another client beside a stopped one");
  for (size_t round = TortureCount("NEARCALL_TORTURE_ROUNDS", 10); round > 0 && !HasFailure(); --round) {
    absl::SleepFor(absl::Microseconds(random_() % 3000));  // no event: any moment is the right one
    Stop(client.pid());
    for (int i = 0; i < 50; ++i) {
      const absl::Time begun = absl::Now();
      EXPECT_TRUE(other.Say(MakeBlob("other"), {.timeout = kLong}).ok());
      alone.Add(absl::ToDoubleMicroseconds(absl::Now() - begun));
    }
    ::kill(client.pid(), SIGCONT);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(client.link().Await(), "go") << "the client does not go on";
  }
  client.Kill();
  alone.Print("us");
  EXPECT_EQ(NumberIn(server->DebugString(), "violations: "), 0u);
}

}  // namespace
}  // namespace nearcall::integration
