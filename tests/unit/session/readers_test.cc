// SPDX-License-Identifier: Apache-2.0
#include "session/readers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "unit/session/client_session_fixture.h"

namespace nearcall::session {
namespace {

using transport::Transport;

// Who waits in the user's event queue, in place of a thread.
class ReadersStandInTest : public testing::ClientSessionTest {
 protected:
  struct Heard final : Listener {
    void OnNews() override { ++times; }
    std::atomic<int> times = 0;
  };

  ReadersStandInTest() {
    me_.listener = &heard_;
    session_->readers().SetStandIn(&me_);
  }
  ~ReadersStandInTest() override { session_->readers().SetStandIn(nullptr); }

  bool Rests() {
    uint32_t interest;
    return session_->readers().Rest(me_, interest) && interest == Transport::kFrames;
  }

  Heard heard_;
  Waiting me_;
};

TEST_F(ReadersStandInTest, ItRestsOnceItHasAskedToBeRung) {
  spy_->armed = false;
  EXPECT_TRUE(Rests());
  EXPECT_TRUE(spy_->armed);
  session_->readers().Look(me_, /*rung=*/false);
  EXPECT_FALSE(spy_->armed);
}

TEST_F(ReadersStandInTest, ItDoesNotRestWhileThereIsSomethingToRead) {
  auto [thread, request] = StartCall();
  // The caller reads; when he has his reply he leaves the role to nobody.
  server_->Reply(request, "first");
  EXPECT_EQ(*thread->outcome(), "first");
  EXPECT_GE(heard_.times, 1);
  wire::FrameHeader late = testing::ScriptedPeer::ReplyTo(request);
  server_->SendSome(late, "");
  EXPECT_FALSE(Rests());
}

TEST_F(ReadersStandInTest, ItLeavesTheRoleToCallers) {
  EXPECT_TRUE(Rests());
  ExpectThatACallWorks();
}

TEST_F(ReadersStandInTest, TheEndOfTheConnectionIsSeenBeforeItRests) {
  session_->OnPeerGone();
  EXPECT_GE(heard_.times, 1);
  EXPECT_FALSE(Rests()) << "what came before is to be read";
  session_->readers().Look(me_, /*rung=*/false);
  uint32_t interest = Transport::kFrames;
  EXPECT_TRUE(session_->readers().Rest(me_, interest));
  EXPECT_EQ(interest, 0u);
}

}  // namespace
}  // namespace nearcall::session
