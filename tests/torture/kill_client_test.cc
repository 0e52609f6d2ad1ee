// SPDX-License-Identifier: Apache-2.0

// Clients that are killed at random moments: while they connect, call, and hang up.
#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "fixture.h"
#include "handlers.h"
#include "measured.h"
#include "nearcall/buffer.h"
#include "support/leak_check.h"
#include "torture/executioner.h"
#include "torture/leftovers.h"

namespace nearcall::integration {
namespace {

using testing::Resources;

constexpr size_t kBatch = 500;
constexpr int kHeldCalls = 2;

// Large enough to be passed.
CallOptions WithMemory(bool some) {
  CallOptions options;
  if (some) options.attachments.assign(3, Must(Buffer::Allocate(300'000)));
  return options;
}

// Connects, calls, with descriptors of memory under way, and hangs up, again and again.
void BeClient(Stage& stage, std::mt19937& random) {
  for (;;) {
    stage.phase = Phase::kOpening;
    auto channel = Channel::Connect(Address(), {.connect_timeout = kLong});
    if (!channel.ok()) continue;  // message queues of the dead may not have been taken back yet
    const Echo::Stub stub(*channel);
    const Echo::AsyncStub async(*channel);
    stage.phase = Phase::kWorking;
    for (int i = 0; i < kHeldCalls; ++i) {
      async.MayBlock(
          MakeBlob("held"), [](absl::StatusOr<Blob>) {}, WithMemory(i == 0));
    }
    for (auto calls = random() % 40; calls > 0; --calls) {
      const std::string data(random() % 8 == 0 ? 100'000 : random() % 200, 'x');
      stub.Say(MakeBlob(data), WithMemory(random() % 4 == 0)).IgnoreError();
    }
    stage.phase = Phase::kClosing;
    *channel = nullptr;
  }
}

// Handlers that run until nobody waits any more, and when each has ended.
class HeldCalls {
 public:
  Handler handler() {
    return [this](ServerContext& context, const Blob& request, Blob& reply) {
      const Held held(*this);
      return wait_(context, request, reply);
    };
  }

  // Until none runs. Takes the ends since the last time.
  std::vector<base::SteadyNs> WaitForEnds() {
    const base::SteadyNs end = base::AfterNow(kLong);
    base::MutexLock lock(mutex_);
    while (running_ > 0 && base::NowNs() < end) changed_.WaitUntil(mutex_, end);
    EXPECT_EQ(running_, 0u) << "a handler still waits for a client that is dead";
    return std::exchange(ends_, {});
  }

 private:
  class Held {
   public:
    explicit Held(HeldCalls& calls) : calls_(calls) {
      base::MutexLock lock(calls_.mutex_);
      ++calls_.running_;
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
      base::MutexLock lock(calls_.mutex_);
      --calls_.running_;
      calls_.ends_.push_back(base::NowNs());
      calls_.changed_.NotifyAll();
    }

   private:
    HeldCalls& calls_;
  };

  Holding holding_;
  const Handler wait_ = holding_.handler();
  base::Mutex mutex_;
  base::CondVar changed_;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<base::SteadyNs> ends_ ABSL_GUARDED_BY(mutex_);
};

class KillClientTest : public IntegrationTest {
 protected:
  // Kills of one server's clients, beside one that nobody kills. Nothing is left of them, nor of the server.
  void KillBatch(size_t kills) {
    const Resources before = Resources::Now();
    HeldCalls held;
    echo.may_block = held.handler();
    auto server = StartServer({.max_connections_per_uid = 4096, .max_attachment_bytes = size_t{1} << 20});
    auto survivor = std::make_unique<Echo::Stub>(Connect());
    Must(survivor->Say(MakeBlob("hello")));
    const Resources alone = Resources::Now();
    for (size_t i = 0; i < kills && !HasFailure(); ++i) KillOne(*survivor, held);
    EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 1; })) << server->DebugString();
    EXPECT_EQ(NumberIn(server->DebugString(), "violations: "), 0u);
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; })) << server->DebugString();
    EXPECT_TRUE(Eventually([&] { return Resources::Now().descriptors == alone.descriptors; }));
    EXPECT_EQ(Resources::Now().mappings, alone.mappings);
    survivor.reset();
    server.reset();
    EXPECT_EQ(Resources::LeakedSince(before), "");
    EXPECT_EQ(leftovers_.In(directory()), "");
  }

  const Leftovers leftovers_;
  Executioner executioner_{BeClient};
  std::mt19937 random_{std::random_device{}()};
  PhaseCounts phases_;
  Measured told_{"from kill -9 of the client to the end of each of its handlers"};

 private:
  void KillOne(const Echo::Stub& survivor, HeldCalls& held) {
    const Executioner::Death death = executioner_.KillOne(random_);
    ASSERT_TRUE(death.by_us) << "a client crashed by itself";
    phases_.Add(death.phase);
    for (const base::SteadyNs end : held.WaitForEnds()) {
      if (end > death.at) told_.Add(static_cast<double>(end - death.at) / 1e6);
    }
    const auto reply = survivor.Say(MakeBlob("still here"), {.timeout = kLong});
    EXPECT_TRUE(reply.ok() && reply->data() == "still here") << reply.status();
  }
};

TEST_F(KillClientTest, AtRandomMoments) {
  const size_t kills = TortureCount("NEARCALL_TORTURE_KILLS", 250);
  for (size_t done = 0; done < kills && !HasFailure(); done += kBatch) KillBatch(std::min(kBatch, kills - done));
  phases_.Print(absl::StrFormat("%d clients killed over %s", kills, TransportName()),
                {"starting", "connecting", "calling", "hanging up"});
  told_.Print("ms");
  absl::PrintF("[ measured ] handlers ended by the kill: %d, each once; leaks: %d\n", told_.count(), HasFailure());
  EXPECT_LE(told_.Percentile(0.99), Strict() ? 20 : 5000);
}

}  // namespace
}  // namespace nearcall::integration
