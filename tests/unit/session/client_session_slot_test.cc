// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "session/client_session.h"
#include "session/completion_queue.h"
#include "unit/session/client.h"
#include "unit/session/client_session_fixture.h"
#include "unit/session/link.h"
#include "unit/session/pop_one.h"

namespace nearcall::session {
namespace {

using testing::CallSpec;
using testing::CallThread;
using testing::InMs;
using testing::Received;

constexpr size_t kMaxQueuedBytes = 8;

// More bytes wait for room than new calls may add to, and no call that they belong to is in flight any more.
class ClientSessionSlotTest : public ::testing::Test {
 protected:
  ClientSessionSlotTest() {
    testing::Link link = testing::MakeLink();
    session_ = *ClientSession::Start(
        std::move(link.client),
        {.max_message_size = 4096, .max_calls_in_flight = 16, .max_queued_bytes = kMaxQueuedBytes, .max_spin_ns = 0},
        std::make_shared<base::Logger>(log_.Sink()), "loop:test");
    server_.emplace(std::move(link.server));
    ClientCall call;
    call.method_id = testing::kMethod;
    queue_.Adopt(call);
    EXPECT_EQ(session_->callers().TryBegin(call), Callers::Begun::kYes);
    const std::string request(64, 'q');
    base::Buffer bytes;
    bytes.Resize(request.size());
    std::memcpy(bytes.data(), request.data(), request.size());
    wire::FrameHeader header = testing::Header(wire::FrameKind::kRequest, call.id, call.lane);
    session_->poster().Post(header, bytes, Outbox::HandOver::kNow);
    EXPECT_GT(session_->outbox().held().all(), kMaxQueuedBytes);
    session_->Cancel(call);
    EXPECT_EQ(testing::PopOne(queue_), &call);
    session_->callers().Release(call, call.reply.bytes);
    queue_.ForgetNews();
  }

  // The request that comes after what waits.
  std::optional<Received> ReceiveNext() {
    std::optional<Received> request = server_->Receive(InMs(3000));
    if (request && request->payload.size() == 64) request = server_->Receive(InMs(3000));
    return request;
  }

  testing::LogLines log_;
  CompletionQueue queue_;
  std::shared_ptr<ClientSession> session_;
  std::optional<testing::ScriptedPeer> server_;
};

TEST_F(ClientSessionSlotTest, WhoWaitsForAPlaceSendsWhatWaitsForRoom) {
  CallThread first(session_, CallSpec{.request = "first"});
  CallThread second(session_, CallSpec{.request = "second"});
  for (int i = 0; i < 2; ++i) {
    const auto request = ReceiveNext();
    ASSERT_TRUE(request) << "nobody reads for those who wait";
    server_->Reply(*request, "ok");
  }
  EXPECT_EQ(*first.outcome(), "ok");
  EXPECT_EQ(*second.outcome(), "ok");
}

}  // namespace
}  // namespace nearcall::session
