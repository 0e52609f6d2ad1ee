// SPDX-License-Identifier: Apache-2.0

// Limits of memory: who does not fit is told so, and nobody else is affected.
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "child.h"
#include "fixture.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class MemoryLimitTest : public IntegrationTest {};

// --- address space ---

// From now on what this process allocates comes from memory that it has already. Before any thread.
void StockUpHeap() {
  constexpr size_t kHeap = size_t{32} << 20;
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, kHeap);
  ::mallopt(M_TRIM_THRESHOLD, 2 * kHeap);
  ::mallopt(M_TOP_PAD, kHeap);
  ::free(::malloc(kHeap / 2));
}

// Lets this process map so many bytes more than now. Nothing undoes it.
void AllowMappings(size_t more) {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t limit = pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) + more;
  const rlimit address_space = {.rlim_cur = limit, .rlim_max = limit};
  if (pages == 0 || ::setrlimit(RLIMIT_AS, &address_space) != 0) throw std::runtime_error("setrlimit");
}

TEST_F(MemoryLimitTest, ClientsThatDoNotFitAreToldSoAndTheConnectedOnesAreServed) {
  if (testing::kSanitizers) GTEST_SKIP() << "a sanitizer maps terabytes";
  if (TransportName() != "shm") GTEST_SKIP() << "a connection maps no memory";
  Child server([this](Link& parent) {
    StockUpHeap();
    const auto started = StartServer();
    parent.Tell();
    parent.Await();
    AllowMappings(size_t{1} << 20);
    parent.Tell();
    parent.Await();
  });
  server.link().Await();
  std::vector<Echo::Stub> stubs = {ConnectStub()};
  EXPECT_TRUE(stubs.front().Say(MakeBlob("")).ok());
  server.link().Tell();
  server.link().Await();
  absl::Status refused;
  while (refused.ok() && stubs.size() < 100) {
    auto channel = Channel::Connect(Address());
    refused = channel.status();
    if (channel.ok()) stubs.emplace_back(*std::move(channel));
  }
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, "RLIMIT_AS is "));
  EXPECT_GT(stubs.size(), 1u);
  for (const Echo::Stub& stub : stubs)
    EXPECT_TRUE(stub.Say(MakeBlob(std::string(5'000, 'x')), {.timeout = kLong}).ok());
  stubs.pop_back();
  EXPECT_TRUE(Eventually([] { return Channel::Connect(Address()).ok(); }));
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

// --- pipes ---

int NewPipeSize(std::vector<base::Fd>& pipes) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return -1;
  for (const int fd : fds) pipes.emplace_back(fd);
  return ::fcntl(fds[0], F_GETPIPE_SZ);
}

// Uses up what the kernel gives a user of memory in pipes at full size (fs.pipe-user-pages-soft). False if there is no
// end of it.
bool UseUpPipePages(std::vector<base::Fd>& pipes) {
  constexpr int kUsual = 16 << 12;
  while (pipes.size() < 1000) {
    const int size = NewPipeSize(pipes);
    if (size < 0 || size < kUsual) return size > 0;
    // As large as may be: fewer are needed.
    if (::fcntl(pipes.back().get(), F_SETPIPE_SZ, 1 << 20) == -1 && errno != EPERM) return false;
  }
  return false;
}

// The kernel refuses no pipe then, but makes it of one or two pages.
TEST_F(MemoryLimitTest, AUserWhoHasUsedUpHisPipesIsServedBySmallerOnes) {
  if (TransportName() != "pipe") GTEST_SKIP() << "of pipes only";
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become another user";
  ASSERT_EQ(::chmod(directory().c_str(), 01777), 0);
  const std::string address = Address(directory() + "/poor");
  Child server([&](Link& parent) {
    BecomeStranger();
    std::vector<base::Fd> pipes;
    const bool poor = UseUpPipePages(pipes);
    const auto started = StartServer({}, address);
    parent.Tell(poor ? "poor" : "rich");
    parent.Await();
  });
  if (server.link().Await() != "poor") GTEST_SKIP() << "NOT TESTED: the system does not limit pipes";
  const Echo::Stub stub = ConnectStub({.allowed_uids = {kStranger}}, address);
  for (const size_t size : {0u, 4'000u, 5'000u, 20'000u, 1'000'000u}) {
    const auto reply = stub.Say(MakeBlob(std::string(size, 'x')), {.timeout = kLong});
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(reply.ok() && reply->data().size() == size);
  }
  server.link().Tell();
  EXPECT_EQ(server.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
