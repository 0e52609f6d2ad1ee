// SPDX-License-Identifier: Apache-2.0

// Limits of descriptors: on either side they are named, and nobody else is affected.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "fixture.h"
#include "raw_peer.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// Lets this process open `more` descriptors from now on. For a child process: nothing undoes it.
void AllowDescriptors(int more) {
  // The limit is one of numbers: the gaps below the highest one in use are filled first.
  int highest = 0;
  for (int fd = 0; fd < 1000; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) highest = fd;
  }
  int filler = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  while (filler >= 0 && filler < highest) filler = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (filler > highest) ::close(filler);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(highest + 1 + more);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw std::runtime_error("setrlimit");
}

// Descriptors; or message queues, of which a busy server may not have taken back those of the last clients yet.
bool IsLimit(const absl::Status& status) {
  return status.code() == StatusCode::kResourceExhausted &&
         (absl::StrContains(status.message(), "RLIMIT_NOFILE is ") ||
          absl::StrContains(status.message(), "RLIMIT_MSGQUEUE is "));
}

class ResourceTest : public IntegrationTest {};

TEST_F(ResourceTest, ClientWithFewDescriptorsIsToldTheLimit) {
  if (testing::kSanitizers) GTEST_SKIP() << "UBSan needs descriptors for its own checks";
  Child client([this](Link& parent) {
    parent.Await();
    bool connected = false;
    for (int more = 0; more < 40 && !connected; ++more) {
      AllowDescriptors(more);
      const absl::Status status = Channel::Connect(Address(), {.log_sink = log.sink()}).status();
      connected = status.ok();
      EXPECT_TRUE(connected || IsLimit(status)) << more << " " << status;
    }
    EXPECT_TRUE(connected);
  });
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  client.link().Tell();
  EXPECT_EQ(client.Join(), 0);
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
}

// A server that has `more` descriptors left when it has started.
class PoorServerTest : public ResourceTest {
 protected:
  void ServeWith(int more, Link& parent, const ServerOptions& options = {}) {
    const auto server = StartServer(options);
    AllowDescriptors(more);
    parent.Tell();
    parent.Await();
  }
};

TEST_F(PoorServerTest, ClientsAreToldTheLimitAndTheConnectedOnesAreServed) {
  NEEDS_SOCKETS();
  Child server([this](Link& parent) { ServeWith(20, parent); });
  server.link().Await();
  std::vector<Echo::Stub> stubs;
  absl::Status status;
  while (status.ok() && stubs.size() < 40) {
    auto channel = Channel::Connect(Address());
    status = channel.status();
    if (status.ok()) stubs.emplace_back(*std::move(channel));
  }
  EXPECT_TRUE(IsLimit(status)) << status;
  ASSERT_GT(stubs.size(), 1u);
  for (const Echo::Stub& stub : stubs) EXPECT_TRUE(stub.Say(MakeBlob("")).ok());
  // A place that is given up is given to another.
  stubs.pop_back();
  EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).ok(); }));
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(PoorServerTest, EachNumberOfDescriptorsEndsInAnAnswer) {
  NEEDS_SOCKETS();
  for (int more = 0; more < 14; ++more) {
    Child server([this, more](Link& parent) { ServeWith(more, parent); });
    server.link().Await();
    for (int i = 0; i < 3; ++i) {
      const absl::Status status = Channel::Connect(Address(), {.handshake_timeout = kLong}).status();
      EXPECT_TRUE(status.ok() || IsLimit(status)) << more << " " << status;
    }
    server.link().Tell();
    EXPECT_EQ(server.Join(), 0);
  }
}

// The first one, which says nothing, has the descriptor that is kept for telling the next one.
TEST_F(PoorServerTest, WhoComesWhenNothingIsLeftIsLookedAtAgain) {
  NEEDS_SOCKETS();
  Child server([this](Link& parent) { ServeWith(0, parent, {.handshake_timeout = absl::Milliseconds(100)}); });
  server.link().Await();
  const base::Fd silent = ConnectRaw(directory() + "/echo");
  const absl::Status status = Channel::Connect(Address(), {.handshake_timeout = kLong}).status();
  EXPECT_TRUE(status.ok() || IsLimit(status)) << status;
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(PoorServerTest, ManyAtOnceEachGetAnAnswer) {
  NEEDS_SOCKETS();
  Child server([this](Link& parent) { ServeWith(3, parent); });
  server.link().Await();
  std::vector<std::future<absl::Status>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::async(std::launch::async,
                                 [] { return Channel::Connect(Address(), {.handshake_timeout = kLong}).status(); }));
  }
  for (auto& client : clients) {
    const absl::Status status = client.get();
    EXPECT_TRUE(status.ok() || IsLimit(status)) << status;
  }
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(ResourceTest, ServerWithFewDescriptorsDoesNotStart) {
  if (testing::kSanitizers) GTEST_SKIP() << "UBSan needs descriptors for its own checks";
  Child server([this](Link&) {
    bool started = false;
    for (int more = 0; more < 40 && !started; ++more) {
      AllowDescriptors(more);
      const absl::Status status =
          ServerBuilder({.log_sink = log.sink()}).Listen(Address()).Register(&echo).Start().status();
      started = status.ok();
      EXPECT_TRUE(started || IsLimit(status)) << more << " " << status;
    }
    EXPECT_TRUE(started);
  });
  EXPECT_EQ(server.Join(), 0);
}

// Not even /dev/null. (Pipes are opened by /proc, message queues checked there.)
TEST_F(ResourceTest, ServerNeedsNoFiles) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can change its root directory";
  if (TransportName() != "shm") GTEST_SKIP() << TransportName() << " needs /proc";
  if (testing::kSanitizers) GTEST_SKIP() << "a sanitizer needs files of its own";
  Child server([this](Link&) {
    if (::chroot(directory().c_str()) != 0 || ::chdir("/") != 0) throw std::runtime_error("chroot");
    const auto started = Must(ServerBuilder().Register(&echo).Start());
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    Must(started->ServeFd(sockets[0]));
    EXPECT_TRUE(ConnectStub({}, absl::StrCat("fd:", sockets[1])).Say(MakeBlob(""), {.timeout = kLong}).ok());
  });
  EXPECT_EQ(server.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
