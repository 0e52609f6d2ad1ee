// SPDX-License-Identifier: Apache-2.0

// Two sides that send to each other as much as they can, for a while: neither may ever wait for the other for good.
// NEARCALL_FLOOD_SECONDS says how long.
#include <atomic>
#include <functional>
#include <iostream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "measured.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using testing::Process;

// Nothing, little, a frame or two, more than a transport holds.
constexpr size_t kSizes[] = {0, 100, 5'000, 20'000, 200'000, 1'000'000};
constexpr size_t kThreads = 4;
constexpr size_t kChains = 8;

// Calls on one channel, by blocking threads and by callbacks that each start the next one, until it is told to stop.
class Flood {
 public:
  explicit Flood(const std::shared_ptr<Channel>& channel) : blocking_(channel), async_(channel) {
    for (size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this, i] { RunThread(i); });
    for (size_t i = 0; i < kChains; ++i) Continue(i);
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  ~Flood() { Stop(); }

  // Until all calls have ended.
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    chains_ended_.WaitFor(kChains);
  }

  size_t calls() const { return calls_; }
  size_t bytes() const { return bytes_; }
  // Between any two answers.
  double longest_pause_ms() const { return static_cast<double>(longest_pause_) / 1e6; }

 private:
  static Blob Request(size_t turn) {
    return MakeBlob(std::string(kSizes[turn % std::size(kSizes)], static_cast<char>('a' + turn % 26)));
  }

  void Check(const Blob& request, const absl::StatusOr<Blob>& reply) {
    EXPECT_TRUE(reply.ok()) << request.data().size() << " B: " << reply.status();
    EXPECT_TRUE(!reply.ok() || reply->data() == request.data()) << request.data().size() << " B";
    ++calls_;
    const base::SteadyNs now = base::NowNs();
    const base::SteadyNs pause = now - last_answer_.exchange(now);
    if (pause > longest_pause_) longest_pause_ = pause;
    bytes_ += 2 * request.data().size();
    if (!reply.ok()) stop_ = true;
  }

  void RunThread(size_t turn) {
    for (; !stop_; ++turn) {
      const Blob request = Request(turn);
      Check(request,
            turn % 3 == 0 ? blocking_.Low(request, {.timeout = kLong}) : blocking_.Say(request, {.timeout = kLong}));
    }
  }

  void Continue(size_t turn) {
    if (stop_) return static_cast<void>(chains_ended_.Add());
    Blob request = Request(turn);
    const auto next = [this, turn, request](const absl::StatusOr<Blob>& reply) {
      Check(request, reply);
      Continue(turn + 1);
    };
    async_.High(request, next, {.timeout = kLong});
  }

  const Echo::Stub blocking_;
  const Echo::AsyncStub async_;
  std::atomic<bool> stop_{false};
  std::atomic<size_t> calls_{0};
  std::atomic<size_t> bytes_{0};
  std::atomic<base::SteadyNs> last_answer_{base::NowNs()};
  std::atomic<base::SteadyNs> longest_pause_{0};
  Counter chains_ended_;
  std::vector<std::thread> threads_;
};

TEST_F(IntegrationTest, TwoThatFloodEachOtherNeverDeadlock) {
  const absl::Duration time = absl::Seconds(TortureCount("NEARCALL_FLOOD_SECONDS", 2));
  const auto server = StartServer({}, Address("near"));
  Process far(ECHO_PEER, {"server", Address("far"), "256"});
  ASSERT_EQ(far.ReadLine(), "ready");
  Process callers(ECHO_PEER, {"callers", Address("near"), "8"});
  ASSERT_EQ(callers.ReadLine(), "busy");
  Flood flood(Connect({.max_queued_bytes = size_t{64} << 20}, Address("far")));
  absl::SleepFor(time);
  const size_t before = flood.calls();
  EXPECT_TRUE(Eventually([&] { return flood.calls() > before; })) << "nothing moves any more";
  flood.Stop();
  std::cout << "[ measured ] flood for " << time << ": " << flood.calls() << " calls, " << (flood.bytes() >> 20)
            << " MiB, longest time without an answer " << flood.longest_pause_ms() << " ms\n";
}

}  // namespace
}  // namespace nearcall::integration
