// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/stream_attempts.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "unit/rpc/connected.h"

namespace nearcall::rpc {
namespace {

using testing::Connected;

// Who reads and who writes may both find that the present attempt has ended.
TEST(StreamAttemptsTest, WhoFindsItEndedAfterSomebodyElseOpensNoOther) {
  Connected first;
  Connected second;
  std::vector<Connected*> servers = {&second, &first};
  const CallOptions options;
  CallHead head(testing::kChat, options, 1024);
  ASSERT_TRUE(head.Prepare(nullptr).ok());
  StreamAttempts attempts(head, [&](const std::stop_token&) -> absl::Status {
    if (servers.empty()) return absl::UnavailableError("there is no third server");
    Connected* const server = servers.back();
    servers.pop_back();
    return attempts.Open(server->session);
  });
  ASSERT_TRUE(attempts.OpenFirst(nullptr).ok());
  StreamAttempts::Ptr hold;
  StreamAttempt& ended = attempts.Present(hold);
  first.server.TurnAway(*first.server.Receive());
  ended.call.Drain(ended.element);
  EXPECT_TRUE(attempts.FoundAnother(ended));
  ASSERT_TRUE(servers.empty());
  EXPECT_TRUE(attempts.FoundAnother(ended)) << "there is no third server";
  StreamAttempts::Ptr last;
  attempts.Present(last).call.Fail(absl::CancelledError("over"));
}

}  // namespace
}  // namespace nearcall::rpc
