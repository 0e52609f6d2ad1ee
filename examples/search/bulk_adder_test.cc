// SPDX-License-Identifier: Apache-2.0
#include "bulk_adder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "test_server.h"

namespace search {
namespace {

using ::testing::HasSubstr;

// Answers nothing before it is told to, and then everything.
class HoldingService final : public v1::Search::AsyncService {
 public:
  void Add(nearcall::ServerContext&, const v1::AddRequest&, v1::AddReply&, nearcall::Done done) override {
    {
      const std::lock_guard lock(mutex_);
      if (!answer_.has_value()) {
        held_.push_back(std::move(done));
        added_.notify_all();
        return;
      }
    }
    std::move(done)(*answer_);
  }

  // False: it holds fewer after that time.
  bool WaitUntilItHolds(size_t calls, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    return added_.wait_for(lock, limit, [&] { return held_.size() >= calls; });
  }

  void Answer(const absl::Status& status) {
    std::vector<nearcall::Done> answered;
    {
      const std::lock_guard lock(mutex_);
      answer_ = status;
      answered.swap(held_);
    }
    for (nearcall::Done& done : answered) std::move(done)(status);
  }

 private:
  std::mutex mutex_;  // guards the rest
  std::condition_variable added_;
  std::vector<nearcall::Done> held_;
  std::optional<absl::Status> answer_;  // set once
};

class BulkAdderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Start(service_);
    const auto channel = server_.Connect();
    ASSERT_TRUE(channel.ok()) << channel.status();
    stub_.emplace(*channel);
  }

  static v1::AddRequest File(size_t bytes) {
    v1::AddRequest request;
    request.set_path("/file");
    request.set_text(std::string(bytes, '\n'));
    return request;
  }

  // Sends one file of each size; true if the last is held back until the others are answered.
  bool LastOneWaits(BulkWindow window, const std::vector<size_t>& sizes) {
    BulkAdder adder(*stub_, window);
    bool held_back = false;
    std::jthread answering([&] {
      EXPECT_TRUE(service_.WaitUntilItHolds(sizes.size() - 1));
      held_back = !service_.WaitUntilItHolds(sizes.size(), std::chrono::milliseconds(50));
      service_.Answer(absl::OkStatus());
    });
    for (const size_t size : sizes) EXPECT_TRUE(adder.Send(File(size)).ok());
    answering.join();
    EXPECT_TRUE(adder.Finish().ok());
    EXPECT_EQ(adder.totals().files, sizes.size());
    return held_back;
  }

  HoldingService service_;
  TestServer server_;
  std::optional<v1::Search::AsyncStub> stub_;
};

TEST_F(BulkAdderTest, HasAsManyOnTheirWayAsTheWindowAllows) {
  EXPECT_TRUE(LastOneWaits({.max_calls = 3, .max_bytes = 100}, {1, 1, 1, 1}));
}

TEST_F(BulkAdderTest, HasAsManyBytesOnTheirWayAsTheWindowAllows) {
  EXPECT_TRUE(LastOneWaits({.max_calls = 100, .max_bytes = 10}, {4, 6, 1}));
}

TEST_F(BulkAdderTest, SendsAFileLargerThanTheWindowAlone) {
  EXPECT_TRUE(LastOneWaits({.max_calls = 100, .max_bytes = 10}, {1, 11}));
}

TEST_F(BulkAdderTest, SendsNothingMoreAfterAFailure) {
  BulkAdder adder(*stub_, {.max_calls = 1});
  ASSERT_TRUE(adder.Send(File(1)).ok());
  ASSERT_TRUE(service_.WaitUntilItHolds(1));
  service_.Answer(absl::ResourceExhaustedError("no room in the index"));
  const absl::Status status = adder.Send(File(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no room in the index"));
  EXPECT_EQ(adder.Finish(), status);
  EXPECT_EQ(adder.totals().files, 0u);
}

}  // namespace
}  // namespace search
