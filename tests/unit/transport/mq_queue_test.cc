// SPDX-License-Identifier: Apache-2.0

// How queues are made, what the kernel says when it has had enough, and what remains of either.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "transport/mq/mq_pair.h"
#include "transport/mq/queue.h"
#include "transport/mq/queue_error.h"
#include "unit/transport/process.h"
#include "unit/transport/queue_namespace.h"

namespace nearcall::transport::mq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::WithOwnQueues;

constexpr QueueSize kSmall{.max_messages = 4, .message_size = 256};

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

void LimitCharge(uint64_t charge) {
  rlimit limit{};
  ::getrlimit(RLIMIT_MSGQUEUE, &limit);
  limit.rlim_cur = charge;
  EXPECT_EQ(::setrlimit(RLIMIT_MSGQUEUE, &limit), 0);
}

absl::Status RefusalWithRoomForDescriptors(int room) {
  const testing::NoMoreDescriptors none(room);
  return CreateQueue(kSmall).status();
}

// The error that ends it; `made` keeps what could be made before.
absl::Status MakeUntilRefused(std::vector<TransportPair>& made) {
  for (;;) {
    absl::StatusOr<TransportPair> pair = MakeMqPair(kSmall);
    if (!pair.ok()) return pair.status();
    made.push_back(*std::move(pair));
  }
}

bool Carries(const TransportPair& pair) {
  if (pair.client->Reserve(100, 1).empty()) return false;
  pair.client->Commit();
  size_t size = 0;
  if (pair.server->Peek(size) != Transport::ReadState::kFrame || size != 100) return false;
  pair.server->Pop();
  return true;
}

// The kernel remembers it.
std::string NameOnceHad(const Queue& queue) {
  char name[256];
  const std::string link = absl::StrCat("/proc/self/fd/", queue.read_end.get());
  const ssize_t size = ::readlink(link.c_str(), name, sizeof(name));
  if (size < 0) return "";
  return std::string(absl::StripSuffix(absl::string_view(name, static_cast<size_t>(size)), " (deleted)"));
}

TEST(MqQueueTest, EachEndHasAFileDescriptionOfItsOwn) {
  const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(VerifyQueueEnd(queue->read_end, QueueEnd::kRead, kSmall), absl::OkStatus());
  EXPECT_EQ(VerifyQueueEnd(queue->write_end, QueueEnd::kWrite, kSmall), absl::OkStatus());
  ASSERT_EQ(::fcntl(queue->read_end.get(), F_SETFL, 0), 0);
  EXPECT_NE(::fcntl(queue->write_end.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(MqQueueTest, EndsAreClosedOnExec) {
  const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(::fcntl(queue->read_end.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(queue->write_end.get(), F_GETFD), FD_CLOEXEC);
}

TEST(MqQueueTest, HasNoNameOnceItIsMade) {
  WithOwnQueues([](const auto& names) {
    const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
    EXPECT_TRUE(queue.ok()) << queue.status();
    EXPECT_THAT(names(), IsEmpty());
    EXPECT_EQ(::mq_unlink("/made-by-the-test"), -1);
    const base::Fd other(::mq_open("/made-by-the-test", O_CREAT | O_RDONLY, mode_t{0600}, nullptr));
    EXPECT_EQ(names(), std::vector<std::string>{"made-by-the-test"}) << "the test sees names";
  });
}

TEST(MqQueueTest, HasNoNameIfItsSecondEndCouldNotBeOpened) {
  WithOwnQueues([](const auto& names) {
    const absl::Status status = RefusalWithRoomForDescriptors(1);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Text(status), HasSubstr("RLIMIT_NOFILE is ")) << "and not that of queues";
    EXPECT_THAT(names(), IsEmpty());
  });
}

TEST(MqQueueTest, WhatAKilledMakerLeftIsTakenAway) {
  WithOwnQueues([](const auto& names) {
    // As if it had been killed between its two steps.
    const std::string name = absl::StrCat("/nearcall-", ::geteuid());
    base::Fd(::mq_open(name.c_str(), O_CREAT | O_RDONLY, mode_t{0600}, nullptr)).Reset();
    EXPECT_EQ(names().size(), 1u);
    EXPECT_EQ(CreateQueue(kSmall).status(), absl::OkStatus());
    EXPECT_THAT(names(), IsEmpty());
  });
}

// Runs `body` as a user whose queues' name another user has taken before.
void WithSquattedName(const std::function<bool()>& body) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root, to become two other users";
  constexpr uid_t kSquatter = 54321;
  constexpr uid_t kUser = 54322;
  const std::string name = absl::StrCat("/nearcall-", kUser);
  testing::Child squatter([&] {
    if (::setuid(kSquatter) != 0) return 1;
    return ::mq_open(name.c_str(), O_CREAT | O_RDONLY, mode_t{0600}, nullptr) >= 0 ? 0 : 1;
  });
  EXPECT_EQ(squatter.Wait(), 0);
  testing::Child user([&] { return ::setuid(kUser) == 0 && body() ? 0 : 1; });
  EXPECT_EQ(user.Wait(), 0);
  EXPECT_EQ(::mq_unlink(name.c_str()), 0) << "the squatter's is still there";
}

TEST(MqQueueTest, ANameThatAnotherUserHasIsNotNeeded) {
  WithSquattedName([] { return CreateQueue(kSmall).ok(); });
}

// Else the squatter would have the next one, too.
TEST(MqQueueTest, TheNameInItsPlaceCannotBeGuessed) {
  WithSquattedName([] {
    constexpr size_t kRandomDigits = 32;
    std::set<std::string> names;
    for (int i = 0; i < 4; ++i) {
      const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
      const std::string name = queue.ok() ? NameOnceHad(*queue) : "";
      if (name.size() <= kRandomDigits) return false;
      // Half of them alone are different each time: it is no counter.
      names.insert(name.substr(name.size() - kRandomDigits, kRandomDigits / 2));
    }
    return names.size() == 4;
  });
}

TEST(MqQueueTest, OnlyItsOwnUserMayOpenIt) {
  const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
  ASSERT_TRUE(queue.ok()) << queue.status();
  struct stat file {};
  ASSERT_EQ(::fstat(queue->read_end.get(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, mode_t{0600});
  EXPECT_EQ(file.st_uid, ::geteuid());
}

TEST(MqQueueTest, TheUmaskDoesNotMatter) {
  WithOwnQueues([](const auto&) {
    const testing::ScopedUmask umask(0777);
    EXPECT_EQ(CreateQueue(kSmall).status(), absl::OkStatus());
  });
}

TEST(MqQueueTest, WithoutDescriptorsTheTextNamesThatLimit) {
  const absl::Status status = RefusalWithRoomForDescriptors(0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Text(status), AllOf(HasSubstr("RLIMIT_NOFILE is "), HasSubstr("ulimit -n")));
}

TEST(MqQueueTest, AsManyConnectionsAsTheLimitAllowsAndNoHarmFromTheNext) {
  WithOwnQueues([](const auto& names) {
    LimitCharge(3 * 2 * ChargeOf(kSmall) + ChargeOf(kSmall));
    std::vector<TransportPair> made;
    const absl::Status status = MakeUntilRefused(made);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Text(status), AllOf(HasSubstr("a queue of 4 x 256 B"), HasSubstr("RLIMIT_MSGQUEUE is 9856 B"),
                                    HasSubstr("ulimit -q"), HasSubstr("expected_clients"), HasSubstr("use shm:")));
    EXPECT_EQ(made.size(), 3U);
    for (const TransportPair& pair : made) EXPECT_TRUE(Carries(pair));
    EXPECT_THAT(names(), IsEmpty());
  });
}

TEST(MqQueueTest, WhatAConnectionUsedComesBackWithItsEnd) {
  WithOwnQueues([](const auto&) {
    LimitCharge(2 * ChargeOf(kSmall));
    for (int i = 0; i < 100; ++i) {
      const absl::StatusOr<TransportPair> pair = MakeMqPair(kSmall);
      ASSERT_TRUE(pair.ok()) << pair.status();
      pair->client->Reserve(100, 1);
      pair->client->Commit();
    }
  });
}

TEST(MqQueueTest, TheTextNamesTheLimitOfQueues) {
  WithOwnQueues([](const auto& names) {
    std::vector<Queue> queues;
    absl::StatusOr<Queue> queue = CreateQueue({.max_messages = 1, .message_size = 256});
    for (; queue.ok() && queues.size() < 300; queue = CreateQueue({.max_messages = 1, .message_size = 256})) {
      queue->write_end.Reset();
      queues.push_back(*std::move(queue));
    }
    EXPECT_EQ(queues.size(), 256U);
    EXPECT_EQ(queue.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Text(queue.status()), HasSubstr("fs.mqueue.queues_max is 256; raise it (sysctl"));
    EXPECT_THAT(names(), IsEmpty());
  });
}

TEST(MqQueueTest, TheTextNamesTheLimitsOfOneQueue) {
  WithOwnQueues([](const auto&) {
    const absl::Status status = CreateQueue({.max_messages = 11, .message_size = 256}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Text(status), AllOf(HasSubstr("fs.mqueue.msg_max is 10"), HasSubstr("fs.mqueue.msgsize_max is 8192")));
    EXPECT_EQ(CreateQueue({.max_messages = 1, .message_size = 8193}).status().code(),
              absl::StatusCode::kResourceExhausted);
  });
}

TEST(MqQueueTest, WhereThereAreNoQueuesTheTextSaysSo) {
  const absl::Status missing = CreationError(ENOSYS, kSmall);
  EXPECT_EQ(missing.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Text(missing), AllOf(HasSubstr("no POSIX message queues"), HasSubstr("use shm: or pipe:")));
  EXPECT_EQ(CreationError(EACCES, kSmall).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CreationError(ENOMEM, kSmall).code(), absl::StatusCode::kResourceExhausted);
}

TEST(MqQueueTest, CountsItsMessagesAtEitherEnd) {
  const absl::StatusOr<Queue> queue = CreateQueue(kSmall);
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(MessagesIn(queue->read_end), 0U);
  ASSERT_EQ(::mq_send(queue->write_end.get(), "x", 1, 0), 0);
  EXPECT_EQ(MessagesIn(queue->read_end), 1U);
  EXPECT_EQ(MessagesIn(queue->write_end), 1U);
  EXPECT_EQ(MessagesIn(base::Fd()), std::nullopt);
}

}  // namespace
}  // namespace nearcall::transport::mq
