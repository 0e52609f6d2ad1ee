// SPDX-License-Identifier: Apache-2.0

// A program of one thread in all, which serves and calls.
#include <poll.h>

#include <algorithm>
#include <coroutine>
#include <filesystem>
#include <iterator>
#include <utility>
#include <vector>

#include "child.h"
#include "co_service.h"
#include "stream_fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

size_t CountThreads() {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator()));
}

// Coroutines that await it go on when so many do.
class Gate {
 public:
  explicit Gate(size_t count) : missing_(count) {}

  bool await_ready() { return --missing_ == 0; }
  void await_suspend(std::coroutine_handle<> coroutine) { waiting_.push_back(coroutine); }
  void await_resume() {
    for (const std::coroutine_handle<> coroutine : std::exchange(waiting_, {})) coroutine.resume();
  }

 private:
  size_t missing_;
  std::vector<std::coroutine_handle<>> waiting_;
};

// Many chats with a server of its own, all open at once.
class Crowd {
 public:
  Crowd(const Streams::CoStub& stub, size_t size) : stub_(stub), all_are_open_(size) {
    for (size_t i = 0; i < size; ++i) Start(Talk(10 + i));
  }

  size_t ended() const { return ended_; }
  size_t ended_well() const { return ended_well_; }

 private:
  Task<void> Talk(size_t size) {
    auto chat = stub_.Chat();
    const Blob first = Element(1, size);
    const Blob second = Element(2, size);
    Blob reply;
    bool well = co_await chat.Write(first) && co_await chat.Read(&reply) && IsElement(reply, 1, size);
    co_await all_are_open_;
    well = well && co_await chat.Write(second) && co_await chat.Read(&reply) && IsElement(reply, 2, size);
    const absl::Status status = co_await chat.Finish();
    EXPECT_TRUE(status.ok()) << status;
    ++ended_;
    if (well && status.ok()) ++ended_well_;
  }

  const Streams::CoStub stub_;
  Gate all_are_open_;
  size_t ended_ = 0;
  size_t ended_well_ = 0;
};

class OneThreadTest : public IntegrationTest {};

TEST_F(OneThreadTest, ServesAndCallsAThousandStreams) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "NOT TESTED: the sanitizer has a thread of its own";
  constexpr size_t kStreams = 1000;
  Child child([&](Link&) {
    EventQueue queue;
    CoStreamService streams;
    const auto server = Must(
        ServerBuilder({.expected_clients = 48, .event_queue = &queue}).Listen(Address()).Register(&streams).Start());
    const Crowd crowd(Streams::CoStub(Must(Channel::Connect(Address(), {.event_queue = &queue}))), kStreams);
    size_t most_threads = CountThreads();
    while (crowd.ended() < kStreams) {
      pollfd ready = {.fd = queue.fd(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(kLong))), 1)
          << crowd.ended() << " have ended";
      queue.Run(64);
      most_threads = std::max(most_threads, CountThreads());
    }
    EXPECT_EQ(crowd.ended_well(), kStreams);
    EXPECT_EQ(most_threads, 1u);
  });
  EXPECT_EQ(child.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
