// SPDX-License-Identifier: Apache-2.0

// Peers that are killed at random moments while descriptors go both ways, with calls and with elements of streams.
#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "file_service.h"
#include "measured.h"
#include "support/leak_check.h"
#include "torture/executioner.h"
#include "torture/leftovers.h"

namespace nearcall::integration {
namespace {

using testing::Resources;

constexpr size_t kBatch = 500;
constexpr size_t kDescriptors = 10;

ServerOptions Granting() {
  return {.expected_clients = 48, .max_descriptors_per_message = 16};
}

// Those of one message, all of one file.
class Lent {
 public:
  std::span<const int> some(size_t count) const { return std::span(numbers_).first(count); }

 private:
  const UniqueFd file_ = FileOf("under way");
  const std::vector<int> numbers_ = std::vector<int>(16, file_.get());
};

// Calls in flight, calls that are waited for, and a stream; each brings some, each gets some back. Until one fails.
void CallWithDescriptors(const std::shared_ptr<Channel>& channel, const Lent& lent, std::mt19937& random) {
  const Files::Stub stub(channel);
  const Files::AsyncStub async(channel);
  std::vector<UniqueFd> returned;
  CallOptions options = {.timeout = kLong};
  options.descriptors = lent.some(1 + random() % kDescriptors);
  for (int i = 0; i < 4; ++i)
    async.Swap(
        MakeBlob("x"), [](const absl::StatusOr<Blob>&) {}, options);
  options.reply_descriptors = &returned;
  const auto chat = stub.Chat({.timeout = kLong});
  for (auto calls = random() % 20; calls > 0; --calls) {
    Blob reply;
    if (!stub.Swap(MakeBlob(std::string(random() % 4 == 0 ? 50'000 : 10, 'x')), options).ok()) return;
    if (!chat->Write(MakeBlob("x"), lent.some(random() % kDescriptors)) || !chat->Read(&reply)) return;
  }
}

void BeClient(Stage& stage, std::mt19937& random) {
  const Lent lent;
  for (;;) {
    stage.phase = Phase::kOpening;
    auto channel = Channel::Connect(Address(), {.connect_timeout = kLong});
    if (!channel.ok()) continue;
    stage.phase = Phase::kWorking;
    CallWithDescriptors(*channel, lent, random);
    stage.phase = Phase::kClosing;
    *channel = nullptr;
  }
}

void BeServer(Stage& stage, std::mt19937& random) {
  for (;;) {
    FileService files;
    stage.phase = Phase::kOpening;
    auto server = ServerBuilder(Granting()).Listen(Address()).Register(&files).Start();
    if (!server.ok()) return;
    stage.phase = Phase::kWorking;
    absl::SleepFor(absl::Microseconds(random() % 5000));
    stage.phase = Phase::kClosing;
    server->reset();
  }
}

class KillWithDescriptorsTest : public IntegrationTest {
 protected:
  void SetUp() override { NEEDS_DESCRIPTORS(); }

  // `kill_some`: so many of one batch.
  void Kill(const char* what, const std::function<void(size_t)>& kill_some) {
    const size_t kills = TortureCount("NEARCALL_TORTURE_KILLS", 60);
    for (size_t done = 0; done < kills && !HasFailure(); done += kBatch) kill_some(std::min(kBatch, kills - done));
    phases_.Print(absl::StrFormat("%d %s killed over %s with descriptors under way", kills, what, TransportName()),
                  {"starting", "connecting", "working", "hanging up"});
  }

  void KillOne(Executioner& executioner) {
    const Executioner::Death death = executioner.KillOne(random_);
    ASSERT_TRUE(death.by_us) << "it crashed by itself";
    phases_.Add(death.phase);
  }

  const Leftovers leftovers_;
  std::mt19937 random_{std::random_device{}()};
  PhaseCounts phases_;
};

TEST_F(KillWithDescriptorsTest, ClientsLeaveNoneInTheServer) {
  Executioner executioner(BeClient);
  Kill("clients", [&](size_t kills) {
    const Resources before = Resources::Now();
    FileService files;
    auto server = Must(ServerBuilder(Granting()).Listen(Address()).Register(&files).Start());
    for (size_t i = 0; i < kills && !HasFailure(); ++i) KillOne(executioner);
    EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0 && CallsActive(*server) == 0; }))
        << server->DebugString();
    EXPECT_EQ(NumberIn(server->DebugString(), "violations: "), 0u);
    server.reset();
    EXPECT_EQ(Resources::LeakedSince(before), "");
    EXPECT_EQ(leftovers_.In(directory()), "");
  });
}

TEST_F(KillWithDescriptorsTest, ServersLeaveNoneInTheClient) {
  Executioner executioner(BeServer);
  Kill("servers", [&](size_t kills) {
    const Resources before = Resources::Now();
    std::atomic<bool> over{false};
    std::thread client([&over, seed = random_()] {
      std::mt19937 random(seed);
      const Lent lent;
      while (!over) {
        const auto channel = Channel::Connect(Address(), {.log_sink = [](LogSeverity, absl::string_view) {}});
        if (channel.ok()) CallWithDescriptors(*channel, lent, random);
      }
    });
    for (size_t i = 0; i < kills && !HasFailure(); ++i) KillOne(executioner);
    over = true;
    client.join();
    EXPECT_EQ(Resources::LeakedSince(before), "");
    StartServer();  // sweeps what the last one left, and goes
    EXPECT_EQ(leftovers_.In(directory()), "");
  });
}

}  // namespace
}  // namespace nearcall::integration
