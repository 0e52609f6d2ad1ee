// SPDX-License-Identifier: Apache-2.0
#include "session/guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "session/server_session.h"
#include "unit/session/client.h"
#include "unit/session/link.h"

namespace nearcall::session {
namespace {

using ::testing::HasSubstr;
using testing::Header;
using Event = Inbox::Event;
using Kind = wire::FrameKind;

constexpr size_t kGranted = 3;
constexpr size_t kBytes = 10'000;

// A client's session with a guest, and a server in the hand of the test. The test reads.
class GuestTest : public ::testing::Test {
 protected:
  GuestTest() {
    testing::Link link = testing::MakeLink({.max_frame_size = 128, .capacity_frames = 16});
    transport::Connection server;
    server.peer = link.client.peer;
    server.peer_id = 1;
    server.peer_terms = link.client.peer_terms;
    host_ = *ClientSession::Start(
        std::move(link.client),
        {.max_message_size = 100, .max_calls_in_flight = 4, .max_queued_bytes = 1000, .max_spin_ns = 0}, logger_, "x");
    guest_ = *ServerSession::StartOver(host_, ServedClient(server, quota_->AccountOf(testing::kUser)),
                                       {.max_message_size = 100, .max_calls = kGranted}, logger_,
                                       {.on_gone = [this] { ++gone_; }, .on_ring = [] {}});
    server_.emplace(std::move(link.server));
  }
  ~GuestTest() override { guest_->listener().Detach(); }

  void SendRequest(uint64_t count, const std::string& text = "") {
    server_->Send(Header(Kind::kRequest, wire::kBegunByAcceptor | count << wire::kSlotBits, 1), text);
  }

  // As who waits for something of the host would, until there is no more.
  void Read() {
    Waiting waiting;
    bool looked = false;
    host_->readers().Wait(waiting, testing::Patience(), [&] { return std::exchange(looked, true); });
  }

  testing::LogLines log_;
  const std::shared_ptr<base::Logger> logger_ = std::make_shared<base::Logger>(log_.Sink());
  const std::shared_ptr<base::Quota> quota_ = std::make_shared<base::Quota>(
      base::Quota::Totals{.calls = 100, .bytes = kBytes, .places = 10, .descriptors = 100},
      std::vector<uid_t>{testing::kUser}, testing::kUser);
  int gone_ = 0;
  std::shared_ptr<ClientSession> host_;
  std::shared_ptr<ServerSession> guest_;
  std::optional<testing::ScriptedPeer> server_;
};

TEST_F(GuestTest, GetsWhatTheHostReads) {
  SendRequest(1, "hello");
  Read();
  wire::Message message;
  EXPECT_EQ(guest_->Next(message), Event::kMessage);
  EXPECT_EQ(testing::AsText(std::as_const(message.bytes).bytes()), "hello");
  EXPECT_EQ(guest_->Next(message), Event::kEmpty);
}

TEST_F(GuestTest, AsManyRequestsAsWereGrantedAreKept) {
  for (size_t i = 1; i <= kGranted; ++i) SendRequest(i);
  Read();
  EXPECT_FALSE(host_->end().broken());
  SendRequest(kGranted + 1);
  Read();
  EXPECT_TRUE(host_->end().broken());
  EXPECT_TRUE(server_->IsHungUpOn());
}

TEST_F(GuestTest, WhatIsTooMuchIsRefusedAndNotKept) {
  base::Charge others;
  ASSERT_TRUE(others.TryTake(guest_->client().memory(), base::Amount::Of(0, kBytes)));
  SendRequest(1, "hello");
  Read();
  wire::Message message;
  EXPECT_EQ(guest_->Next(message), Event::kOverQuota);
  EXPECT_EQ(message.bytes.size(), 0u);
  EXPECT_FALSE(host_->end().broken());
}

TEST_F(GuestTest, EndsWithItsHost) {
  host_->HangUp();
  EXPECT_TRUE(guest_->end().gone());
  EXPECT_EQ(gone_, 1);
  host_->HangUp();
  EXPECT_EQ(gone_, 1);
}

TEST_F(GuestTest, EndsItsHost) {
  guest_->HangUp();
  EXPECT_TRUE(host_->end().dead());
  EXPECT_TRUE(server_->IsHungUpOn());
  EXPECT_EQ(gone_, 1);
}

// Told to go away, the host stays until what it serves is over.
TEST_F(GuestTest, HoldsItsHostUntilItsCallsAreOver) {
  SendRequest(1);
  Read();
  host_->callers().Retire();
  EXPECT_FALSE(host_->end().dead());
  host_->callers().NoteServed(/*begins=*/false);
  EXPECT_TRUE(host_->end().dead());
}

TEST_F(GuestTest, IsForgottenBeforeItsHost) {
  guest_->listener().Detach();
  guest_.reset();
  EXPECT_EQ(host_->guest().Get(), nullptr);
  SendRequest(1);
  Read();  // and nobody takes it
  EXPECT_FALSE(host_->end().broken());
  testing::Link link = testing::MakeLink();
  guest_ = *ServerSession::Start(std::move(link.server), {.max_message_size = 1, .max_calls = 1}, logger_,
                                 {.on_gone = [] {}, .on_ring = [] {}});
}

}  // namespace
}  // namespace nearcall::session
