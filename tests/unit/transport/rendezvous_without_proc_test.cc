// SPDX-License-Identifier: Apache-2.0

// Names and connections where /proc/self leads nowhere: the first thread has ended, or there is no /proc at all.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <thread>

#include "absl/strings/match.h"
#include "fake_transport.h"
#include "process.h"
#include "support/refused_call.h"
#include "support/sanitizers.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport::testing {
namespace {

// A server and a client under a name and at a path, in this process. The number of what went wrong, or 0.
int MeetTwice(const std::string& path) {
  for (const std::string& text : {std::string("echo"), path}) {
    const auto listener = Listener::Bind(Parse(text));
    if (!listener.ok()) return 10;
    if (!absl::IsAlreadyExists(Listener::Bind(Parse(text)).status())) return 11;
    absl::StatusOr<Connection> server;
    std::thread thread([&] {
      // The first one that waits is the other server's look at the name.
      for (int i = 0; i < 2 && !server.ok(); ++i) server = AcceptOne(**listener);
    });
    const auto client = Connect(Parse(text), Client());
    thread.join();
    if (!client.ok() || !server.ok()) return 12;
  }
  const absl::Status absent = Connect(Parse("absent"), Client()).status();
  return absl::IsUnavailable(absent) && absl::StrContains(absent.message(), "does not exist") ? 0 : 13;
}

// The rest of a child's life without its first thread.
int WithoutFirstThread(const std::function<int()>& body) {
  std::thread([body] { ::_exit(body()); }).detach();
  ::syscall(SYS_exit, 0);  // of this thread alone, and nothing is unwound
  return 99;
}

// For a child process of root: /proc is gone, for it alone. False: not here.
bool UnmountProc() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::umount2("/proc", MNT_DETACH) == 0 && ::access("/proc/self", F_OK) != 0;
}

constexpr int kNoNamespaces = 77;

constexpr nearcall::testing::SystemCalls kUnshareFs{
    .number = SYS_unshare, .argument = 0, .mask = ~0u, .value = CLONE_FS};

constexpr nearcall::testing::SystemCalls kFchmodat2{.number = 452, .argument = 0, .mask = 0, .value = 0};

class WithoutProcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    NEARCALL_TEST_NEEDS_ROOT();
    if (nearcall::testing::kSanitizers) GTEST_SKIP() << "SKIPPED: a sanitizer needs a /proc of its own";
  }

  static void ExpectInChild(const std::function<int()>& body) {
    Child child([&] { return UnmountProc() ? body() : kNoNamespaces; });
    const int code = child.Wait();
    if (code == kNoNamespaces) GTEST_SKIP() << "SKIPPED: no mount namespaces here, so /proc cannot be taken away";
    EXPECT_EQ(code, 0);
  }

  const NameDirectory names_{};
};

TEST(WithoutFirstThreadTest, ServersAndClientsMeet) {
  if (nearcall::testing::kSanitizers) GTEST_SKIP() << "SKIPPED: a sanitizer does not let the first thread end alone";
  const NameDirectory names;
  Child child([&] { return WithoutFirstThread([&] { return MeetTwice(names / "path"); }); });
  EXPECT_EQ(child.Wait(), 0);
}

TEST_F(WithoutProcTest, ServersAndClientsMeet) {
  ExpectInChild([this] { return MeetTwice(names_ / "path"); });
  EXPECT_EQ(names_.Entries().size(), 0u);
}

// On a kernel that cannot change modes by a descriptor, too.
TEST_F(WithoutProcTest, TheSocketHasItsModeWhateverTheUmask) {
  ExpectInChild([this] {
    nearcall::testing::RefuseSystemCalls(kFchmodat2, ENOSYS);
    ::umask(0777);
    const auto listener = Listener::Bind(Parse(names_ / "path"));
    struct stat status {};
    ::stat((names_ / "path").c_str(), &status);
    return listener.ok() && (status.st_mode & 0777) == 0666 ? 0 : 1;
  });
}

// What is missing is named, and nobody is told that there is no server.
TEST_F(WithoutProcTest, WhereUnshareIsRefusedTooBothSidesSaySo) {
  const auto says_so = [](const absl::Status& status) {
    return absl::IsFailedPrecondition(status) && absl::StrContains(status.message(), "/proc is not mounted");
  };
  const auto listener = Listener::Bind(Parse("live"));
  ExpectInChild([&] {
    nearcall::testing::RefuseSystemCalls(kUnshareFs, EPERM);
    if (!says_so(Connect(Parse("live"), Client()).status())) return 1;
    if (!says_so(Listener::Bind(Parse("live")).status())) return 2;
    return says_so(Listener::Bind(Parse("echo")).status()) ? 0 : 3;
  });
}

}  // namespace
}  // namespace nearcall::transport::testing
