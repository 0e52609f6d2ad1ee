// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/poller.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "support/clock_readings.h"
#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"
#include "wire/header.h"

namespace nearcall::rpc {
namespace {

using testing::Bytes;
using testing::FakeService;
using testing::MakeBytes;
using transport::Transport;

constexpr size_t kRequestSize = 100;

// A client that never stops sending requests: whenever the server looks there is another one. Answers go nowhere.
class EndlessTransport final : public Transport {
 public:
  explicit EndlessTransport(uint64_t method_id) {
    header_.kind = wire::FrameKind::kRequest;
    header_.flags = wire::kFirst | wire::kLast | wire::kEnd;
    header_.priority = static_cast<uint8_t>(Priority::kNormal);
    header_.source_id = session::testing::kClientId;
    header_.method_id = method_id;
    header_.payload_size = header_.message_size = kRequestSize;
    EXPECT_TRUE(MakeBytes(std::string(kRequestSize - 2, 'x')).SerializeToArray(request_.data(), kRequestSize));
  }

  size_t taken() const { return taken_; }
  void End() { ended_ = true; }
  // The next request comes with the answer to the one before.
  void WaitForAnswers() { one_at_a_time_ = true; }

  absl::string_view name() const override { return "endless"; }
  size_t max_frame_size() const override { return answer_.size(); }
  std::span<std::byte> Reserve(size_t size, int /*lane*/) override { return std::span(answer_).first(size); }
  void Fill(std::span<std::byte> /*to*/, std::span<const std::byte> /*from*/) override {}
  void Commit() override { ++answered_; }
  bool Notify() override { return false; }
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return true; }

  ReadState Peek(size_t& size) override {
    size = wire::kHeaderSize + kRequestSize;
    if (one_at_a_time_ && taken_ != answered_) return ReadState::kEmpty;
    return ended_ ? ReadState::kEmpty : ReadState::kFrame;
  }
  void CopyOut(size_t offset, std::span<std::byte> to) override {
    if (offset != 0) return static_cast<void>(std::copy_n(request_.begin(), to.size(), to.begin()));
    wire::FrameHeader header = header_;
    header.sequence = header.call_id = taken_ + 1;
    wire::EncodeHeader(header, to);
  }
  void Pop() override { ++taken_; }
  void Release() override {}
  absl::Status error() const override { return absl::OkStatus(); }

  bool Arm(uint32_t /*interest*/, size_t /*room*/) override { return !ended_; }
  void Disarm() override {}
  void Wait(base::SteadyNs /*until*/) override {}
  void Interrupt() override {}
  bool can_spin() const override { return false; }

 private:
  wire::FrameHeader header_;
  std::array<std::byte, kRequestSize> request_{};
  std::array<std::byte, 1024> answer_{};
  std::atomic<size_t> taken_{0};
  std::atomic<size_t> answered_{0};
  std::atomic<bool> ended_{false};
  bool one_at_a_time_ = false;
};

class PollerTest : public ::testing::Test {
 protected:
  PollerTest() { EXPECT_TRUE(core_.services.Add(&service_).ok()); }
  ~PollerTest() override {
    poller_.Stop();
    core_.threads.Join();
    poller_.Clear();
  }

  template <class Condition>
  static void WaitUntil(Condition holds) {
    const base::SteadyNs until = session::testing::Patience();
    while (!holds() && base::NowNs() < until) ::poll(nullptr, 0, 1);
    EXPECT_TRUE(holds());
  }

  // Serves a client that never stops sending, until the handler has run `runs` times.
  void ServeUntil(size_t runs, bool one_at_a_time = false) {
    core_.on_place_given = [this] { poller_.resumptions().OnPlaceGiven(); };
    ASSERT_TRUE(poller_.Start().ok());
    auto endless = std::make_unique<EndlessTransport>(service_.method().id);
    endless_ = endless.get();
    if (one_at_a_time) endless_->WaitForAnswers();
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
    client_.Reset(sockets[0]);
    transport::Connection connection;
    connection.transport = std::move(endless);
    connection.control.Reset(sockets[1]);
    connection.peer_id = session::testing::kClientId;
    connection.peer_terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 16};
    poller_.Add(*session::ServerSession::Start(std::move(connection),
                                               {.max_message_size = 1 << 20, .max_calls = 1 << 16}, core_.logger, {}));
    WaitUntil([&] { return runs_ >= runs; });
    endless_->End();
  }

  static constexpr size_t kFramesOfATurn = 16;
  static constexpr size_t kMaxQueuedBytes = 20 * kRequestSize;

  FakeService service_{"test.Service", {"test.Service/Do"}};
  ServerCore core_{{.max_queued_calls = 1 << 16, .max_queued_bytes = kMaxQueuedBytes, .max_handler_threads = 2}, 1};
  Poller poller_{core_};
  base::Fd client_;
  EndlessTransport* endless_ = nullptr;
  // Handlers run until the fixture ends.
  std::atomic<size_t> runs_{0};
  std::atomic<size_t> most_waited_{0};
};

// One that takes long to cancel.
class CancelledCall final : public session::ActiveCall {
 public:
  CancelledCall(std::latch& begun, std::latch& may_end) : ActiveCall(1), begun_(begun), may_end_(may_end) {}
  void MarkCancelled() override {
    begun_.count_down();
    may_end_.wait();
  }
  Stage stage() const override { return Stage::kWaiting; }
  const char* method_name() const override { return nullptr; }
  base::SteadyNs arrived() const override { return 0; }

 private:
  std::latch& begun_;
  std::latch& may_end_;
};

TEST_F(PollerTest, AConnectionThatIsJustEndingWhenItIsAddedIsToldOf) {
  ASSERT_TRUE(poller_.Start().ok());
  std::array<std::atomic<int>, 2> gone{};
  std::array<session::testing::Link, 2> links{session::testing::MakeLink(), session::testing::MakeLink()};
  const auto start = [&](uint32_t id) {
    links[id].server.peer_id = id;
    const auto on_gone = [this, id, &gone] {
      ++gone[id];
      poller_.Remove(id);
    };
    return *session::ServerSession::Start(std::move(links[id].server), {.max_message_size = 100, .max_calls = 16},
                                          core_.logger, {.on_gone = on_gone, .on_ring = {}});
  };
  auto ending = start(0);
  std::latch begun(1);
  std::latch may_end(1);
  CancelledCall call(begun, may_end);
  ASSERT_TRUE(ending->AddCall(call));
  std::thread ends([&] { ending->HangUp(); });
  begun.wait();
  poller_.Add(ending);

  // What the poller was asked to do before, it has done when this one has been dropped.
  std::weak_ptr<session::ServerSession> other;
  {
    const auto session = start(1);
    poller_.Add(session);
    session->HangUp();
    other = session;
  }
  WaitUntil([&] { return other.expired(); });
  EXPECT_EQ(gone[1], 1);
  EXPECT_EQ(gone[0], 0);
  may_end.count_down();
  ends.join();
  EXPECT_EQ(gone[0], 1);
  ending->calls().Remove(call);
}

TEST_F(PollerTest, AClientThatNeverStopsSendingIsServedInTurns) {
  std::atomic<size_t> taken_before{0};
  service_.handler = [&](ServerContext&, const Bytes&, Bytes&) {
    if (runs_ == 0) taken_before = endless_->taken();
    ++runs_;
    return absl::OkStatus();
  };
  ServeUntil(1);
  EXPECT_LE(taken_before, kFramesOfATurn);
}

TEST_F(PollerTest, ReadsNoMoreThanMayWaitForAHandler) {
  service_.handler = [this](ServerContext&, const Bytes&, Bytes&) {
    most_waited_ = std::max<size_t>(most_waited_, endless_->taken() - runs_++);
    return absl::OkStatus();
  };
  ServeUntil(200);
  EXPECT_LE(most_waited_, kMaxQueuedBytes / kRequestSize + kFramesOfATurn + 1);
}

// When it was read, and when it was over.
TEST_F(PollerTest, ACallIsTwoLooksAtTheClock) {
  constexpr size_t kFirst = 100;
  constexpr size_t kCalls = 1000;
  size_t before = 0;
  size_t after = 0;
  service_.handler = [&](ServerContext&, const Bytes&, Bytes&) {
    if (runs_ == kFirst) before = nearcall::testing::ClockReadings();
    if (runs_ == kFirst + kCalls) after = nearcall::testing::ClockReadings();
    ++runs_;
    return absl::OkStatus();
  };
  ServeUntil(kFirst + kCalls + 1, /*one_at_a_time=*/true);
  EXPECT_GE(after - before, 2 * kCalls);
  // (The test itself looks now and then.)
  EXPECT_LE(after - before, 2 * kCalls + kCalls / 4);
}

}  // namespace
}  // namespace nearcall::rpc
