// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "unit/session/client.h"
#include "unit/session/link.h"

namespace nearcall::session::testing {

inline base::SteadyNs InMs(int64_t ms) {
  return base::NowNs() + ms * 1'000'000;
}

inline absl::StatusCode CodeOf(const absl::StatusOr<std::string>& outcome) {
  return outcome.status().code();
}

// What a caller sees of a connection whose other end does what the test says. The transport holds two tiny frames: to
// wait for room and to go by fragments is the usual thing.
class ClientSessionTest : public ::testing::Test {
 protected:
  explicit ClientSessionTest(const LinkOptions& options = {}) { Connect(options); }

  void Connect(const LinkOptions& options) {
    Link link = MakeLink(options);
    spy_ = link.client_spy;
    session_ = *ClientSession::Start(
        std::move(link.client),
        {.max_message_size = 4096, .max_calls_in_flight = 16, .max_queued_bytes = 1 << 20, .max_spin_ns = 0}, logger_,
        "loop:test");
    server_.emplace(std::move(link.server));
  }

  // Starts a call and waits until the server has its request.
  std::pair<std::unique_ptr<CallThread>, Received> StartCall(CallSpec spec = {}) {
    auto thread = std::make_unique<CallThread>(session_, std::move(spec));
    std::optional<Received> request = server_->Receive();
    EXPECT_TRUE(request);
    return {std::move(thread), request.value_or(Received{})};
  }

  // A call after which the connection must still work.
  void ExpectThatACallWorks() {
    auto [thread, request] = StartCall({.request = "still there?"});
    EXPECT_EQ(request.payload, "still there?");
    server_->SendSome(server_->ReplyTo(request), "yes");
    while (!thread->ended()) server_->Receive(InMs(1));  // sends what did not fit
    EXPECT_EQ(*thread->outcome(), "yes");
  }

  std::vector<std::string> Logged() {
    logger_->Flush();
    return log_.all();
  }

  LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  SpyTransport* spy_ = nullptr;
  std::shared_ptr<ClientSession> session_;
  std::optional<ScriptedPeer> server_;
};

// Fills the transport, which the server does not read, and says with what.
class ClientSessionFullTest : public ClientSessionTest {
 protected:
  ClientSessionFullTest() {
    for (int i = 0; i < 2; ++i) {
      fillers_.push_back(std::make_unique<CallThread>(session_, CallSpec{.request = "########", .lane = 3}));
    }
    const base::SteadyNs until = Patience();
    while (sent_frames() < 2 && base::NowNs() < until) std::this_thread::yield();
  }

  void AnswerFillers() {
    for (int i = 0; i < 2; ++i) server_->Reply(*server_->Receive(), "");
  }

  uint64_t sent_frames() {
    const std::string text = session_->DebugString();
    return std::stoull(text.substr(text.find("in flight, ") + 11));
  }

  std::vector<std::unique_ptr<CallThread>> fillers_;
};

}  // namespace nearcall::session::testing
