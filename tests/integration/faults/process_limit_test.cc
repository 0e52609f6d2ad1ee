// SPDX-License-Identifier: Apache-2.0

// No thread can be made any more (RLIMIT_NPROC, which counts a user's threads): who needs one is told so or does
// without, and what runs goes on.
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "child.h"
#include "fixture.h"
#include "meeting_place.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// Root is not subject to the limit.
class ProcessLimitTest : public IntegrationTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
    if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer needs threads of its own";
    address_ = Address(MakeMeetingPlace(directory()) + "/meeting");
  }

  // For a child process: this user's processes may have so many threads in all.
  static void AllowThreads(rlim_t count) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = count;
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0) throw std::runtime_error("setrlimit");
  }

  static bool IsLimit(const absl::Status& status) {
    return status.code() == StatusCode::kResourceExhausted &&
           (absl::StrContains(status.message(), "RLIMIT_NPROC") || absl::StrContains(status.message(), "thread"));
  }

  std::string address_;
};

TEST_F(ProcessLimitTest, AClientWithFewThreadsIsToldSoOrDoesWithout) {
  NEEDS_OTHER_USERS();
  Child client([this](Link& parent) {
    BecomeStranger();
    parent.Await();
    bool all = false;
    for (rlim_t threads = 1; threads < 60 && !all; ++threads) {
      AllowThreads(threads);
      const auto channel = Channel::Connect(address_, {.log_sink = log.sink()});
      EXPECT_TRUE(channel.ok() || IsLimit(channel.status())) << threads << " " << channel.status();
      if (!channel.ok()) continue;
      EXPECT_TRUE(Echo::Stub(*channel).Say(MakeBlob(""), {.timeout = kLong}).ok());
      Counter ends;
      Echo::AsyncStub(*channel).Say(MakeBlob(""),
                                    [&](const absl::StatusOr<Blob>& reply) {
                                      EXPECT_TRUE(reply.ok() || IsLimit(reply.status()))
                                          << threads << " " << reply.status();
                                      all = reply.ok();
                                      ends.Add();
                                    },
                                    {.timeout = kLong});
      ends.WaitFor(1);
      EXPECT_EQ(ends.value(), 1u);
    }
    EXPECT_TRUE(all);
  });
  const auto server =
      StartServer({.allowed_uids = {0, kStranger}, .blockable_transports_for_other_users = true}, address_);
  client.link().Tell();
  EXPECT_EQ(client.Join(), 0);
}

TEST_F(ProcessLimitTest, AServerWithFewThreadsDoesNotStartOrServes) {
  NEEDS_OTHER_USERS();
  Child server([this](Link& parent) {
    BecomeStranger();
    const testing::ScopedEnv own("NEARCALL_DIR", (directory() + "/place/own").c_str());
    bool started = false;
    for (rlim_t threads = 1; threads < 60 && !started; ++threads) {
      AllowThreads(threads);
      const auto poor =
          ServerBuilder({.allowed_uids = {0}, .log_sink = log.sink()}).Listen(address_).Register(&echo).Start();
      EXPECT_TRUE(poor.ok() || IsLimit(poor.status())) << threads << " " << poor.status();
      started = poor.ok();
      if (!started) continue;
      parent.Tell();
      parent.Await();
    }
    EXPECT_TRUE(started);
  });
  ASSERT_EQ(server.link().Await(), "go");
  const Echo::Stub stub = ConnectStub({.allowed_uids = {kStranger}}, address_);
  const Echo::Stub second = ConnectStub({.allowed_uids = {kStranger}}, address_);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong}).ok());
    EXPECT_TRUE(second.Say(MakeBlob(std::string(100'000, 'x')), {.timeout = kLong}).ok());
    const absl::Status status = stub.MayBlock(MakeBlob(""), {.timeout = kLong}).status();
    EXPECT_TRUE(status.ok() || IsLimit(status)) << status;
  }
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
