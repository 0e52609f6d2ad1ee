// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/async_calls.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"

namespace nearcall::rpc {
namespace {

using testing::Bytes;
using testing::MakeBytes;

constexpr internal::MethodInfo kMethod =
    internal::MakeMethod("test.Service/Do", internal::MethodKind::kUnary, Priority::kNormal, 0, false);

// A channel that has a connection as soon as the test lets it have one, and is told of calls that go elsewhere.
class FakeOwner final : public AsyncCalls::Owner {
 public:
  std::promise<absl::StatusOr<AsyncCalls::SessionPtr>> connection;
  std::promise<std::shared_ptr<AsyncCall>> elsewhere;
  std::shared_ptr<AsyncCalls> next;  // where calls go, if the test has such a place
  std::function<void()> on_the_way = [] {};

  std::optional<absl::StatusOr<AsyncCalls::SessionPtr>> Connect(base::SteadyNs, std::function<void()>) override {
    return connection.get_future().get();
  }
  bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) override {
    on_the_way();
    if (next != nullptr) return next->Start(call) == AsyncCalls::Started::kQueued;
    elsewhere.set_value(call);
    return true;
  }
};

class AsyncCallsTest : public ::testing::Test {
 protected:
  AsyncCallsTest() : link_(session::testing::MakeLink({.max_frame_size = 1024})) {}
  ~AsyncCallsTest() override { calls_->Stop(); }

  std::shared_ptr<AsyncCall> StartCall(
      const CallOptions& options = {}, internal::OnOutcome done = [](internal::Outcome&) {}) {
    auto call = std::make_shared<CallbackCall>(kMethod, options, 1024, std::move(done));
    const Bytes request = MakeBytes("hi");
    EXPECT_TRUE(call->Prepare(&request).ok());
    EXPECT_EQ(calls_->Start(call), AsyncCalls::Started::kQueued);
    return call;
  }

  void Connect() {
    session_ = *session::ClientSession::Start(
        std::move(link_.client),
        {.max_message_size = 1024, .max_calls_in_flight = 8, .max_queued_bytes = 1024, .max_spin_ns = 0}, logger_,
        "loop:test");
    owner_.connection.set_value(session_);
  }

  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {});
  session::testing::Link link_;
  AsyncCalls::SessionPtr session_;
  FakeOwner owner_;
  const std::shared_ptr<AsyncCalls> calls_ =
      std::make_shared<AsyncCalls>(owner_, ChannelOptions(), /*reactor=*/nullptr, logger_, nullptr);
};

// The server goes away after the thread has looked whether it has, and before it begins the second call.
TEST_F(AsyncCallsTest, WhatTheConnectionTakesNoMoreGoesElsewhere) {
  StartCall();
  const auto second = StartCall();
  link_.client_spy->before_commit = [this] { session_->callers().Retire(); };
  Connect();
  auto elsewhere = owner_.elsewhere.get_future();
  ASSERT_EQ(elsewhere.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(elsewhere.get(), second);
}

// The call belongs to neither connection then.
TEST_F(AsyncCallsTest, AStopRequestOnTheWayElsewhereEndsTheCallUnsent) {
  FakeOwner nobody;
  owner_.next = std::make_shared<AsyncCalls>(nobody, ChannelOptions(), /*reactor=*/nullptr, logger_, nullptr);
  std::stop_source stop;
  owner_.on_the_way = [&] { stop.request_stop(); };
  std::promise<absl::Status> ended;
  StartCall();
  StartCall({.stop_token = stop.get_token()}, [&](internal::Outcome& outcome) {
    testing::Bytes reply;
    ended.set_value(outcome.Take(reply));
  });
  link_.client_spy->before_commit = [this] { session_->callers().Retire(); };
  Connect();
  auto end = ended.get_future();
  const bool has_ended = end.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  EXPECT_TRUE(has_ended) << "the stop request is lost";
  if (has_ended) {
    EXPECT_EQ(end.get().code(), absl::StatusCode::kCancelled);
  }
  nobody.connection.set_value(absl::UnavailableError("nobody"));
  owner_.next->Stop();
}

}  // namespace
}  // namespace nearcall::rpc
