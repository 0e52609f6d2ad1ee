#include "rpc/async_calls.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "unit/rpc/fake_service.h"
#include "unit/session/link.h"

namespace nearcall::rpc {
namespace {

using testing::MakeBytes;

constexpr internal::MethodInfo kMethod =
    internal::MakeMethod("test.Service/Do", internal::MethodKind::kUnary, Priority::kNormal, 0, false);

// A channel that has a connection as soon as the test lets it have one, and is told of calls that go elsewhere.
class FakeOwner final : public AsyncCalls::Owner {
 public:
  std::promise<AsyncCalls::SessionPtr> connection;
  std::promise<std::shared_ptr<AsyncCall>> elsewhere;

  absl::StatusOr<AsyncCalls::SessionPtr> Connect(base::SteadyNs) override { return connection.get_future().get(); }
  bool StartElsewhere(const std::shared_ptr<AsyncCall>& call) override {
    elsewhere.set_value(call);
    return true;
  }
};

class AsyncCallsTest : public ::testing::Test {
 protected:
  AsyncCallsTest() : link_(session::testing::MakeLink({.max_frame_size = 1024})) {}
  ~AsyncCallsTest() override { calls_->Stop(); }

  std::shared_ptr<AsyncCall> StartCall() {
    auto call = std::make_shared<AsyncCall>(kMethod, CallOptions(), 1024, [](internal::Outcome&) {});
    EXPECT_TRUE(call->Prepare(MakeBytes("hi")).ok());
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
  const std::shared_ptr<AsyncCalls> calls_ = std::make_shared<AsyncCalls>(owner_, ChannelOptions(), logger_, nullptr);
};

// The server goes away after the thread has looked whether it has, and before it begins the second call.
TEST_F(AsyncCallsTest, WhatTheConnectionTakesNoMoreGoesElsewhere) {
  StartCall();
  const auto second = StartCall();
  link_.client_spy->before_commit = [this] { session_->Retire(); };
  Connect();
  auto elsewhere = owner_.elsewhere.get_future();
  ASSERT_EQ(elsewhere.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(elsewhere.get(), second);
}

}  // namespace
}  // namespace nearcall::rpc
