// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "process.h"
#include "support/sanitizers.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uid_t kOtherUid = 12345;

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  ::stat(path.c_str(), &status);
  return status.st_mode & 07777;
}

absl::Status OpenError(const std::string& path) {
  return Directory::OpenPrivate(path, Directory::IfMissing::kFail).status();
}

TEST(DirectoryTest, CreatesItForTheOwnerAloneWhateverTheUmask) {
  const TemporaryDirectory parent;
  for (const mode_t mask : {0000u, 0022u, 0777u}) {
    const ScopedUmask umask(mask);
    const std::string path = parent / std::to_string(mask);
    ASSERT_TRUE(Directory::OpenPrivate(path, Directory::IfMissing::kCreate).ok());
    EXPECT_EQ(ModeOf(path), 0700u) << mask;
  }
}

TEST(DirectoryTest, MissingOneIsNotFound) {
  const TemporaryDirectory parent;
  EXPECT_TRUE(absl::IsNotFound(OpenError(parent / "absent")));
  EXPECT_TRUE(
      absl::IsNotFound(Directory::OpenPrivate(parent / "absent/deeper", Directory::IfMissing::kCreate).status()));
}

TEST(DirectoryTest, NeverFollowsASymbolicLink) {
  const TemporaryDirectory parent;
  ASSERT_EQ(::mkdir((parent / "real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink((parent / "real").c_str(), (parent / "link").c_str()), 0);
  for (const char* name : {"link", "link/", "link//"}) {
    const absl::Status error = OpenError(parent / name);
    EXPECT_TRUE(absl::IsPermissionDenied(error)) << error;
    EXPECT_THAT(error.message(), HasSubstr(parent / "link"));
  }
}

TEST(DirectoryTest, RefusesOneThatOthersCanWrite) {
  const TemporaryDirectory directory;
  for (const mode_t mode : {0770u, 0707u, 01777u}) {
    ASSERT_EQ(::chmod(directory.path().c_str(), mode), 0);
    const absl::Status error = OpenError(directory.path());
    EXPECT_TRUE(absl::IsPermissionDenied(error));
    EXPECT_THAT(error.message(), HasSubstr(directory.path()));
  }
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  EXPECT_TRUE(OpenError(directory.path()).ok());
}

TEST(DirectoryTest, RefusesThatOfAnotherUser) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory directory;
  ASSERT_EQ(::chown(directory.path().c_str(), kOtherUid, kOtherUid), 0);
  const absl::Status error = OpenError(directory.path());
  EXPECT_TRUE(absl::IsPermissionDenied(error));
  EXPECT_THAT(error.message(), HasSubstr("belongs to uid 12345"));
}

TEST(DirectoryTest, TrustsThatOfRoot) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory directory;
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  Child other([&] {
    BecomeUser(kOtherUid);
    return OpenError(directory.path()).ok() ? 0 : 1;
  });
  EXPECT_EQ(other.Wait(), 0);
}

TEST(DirectoryTest, StaysTheSameWhenItsPathIsTakenByAnother) {
  const TemporaryDirectory parent;
  const auto directory = Directory::OpenPrivate(parent / "d", Directory::IfMissing::kCreate);
  ASSERT_TRUE(directory.ok());
  ASSERT_EQ(::rename((parent / "d").c_str(), (parent / "moved").c_str()), 0);
  const base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(directory->Bind(socket, "name"), 0);
  EXPECT_TRUE(std::filesystem::exists(parent / "moved/name"));
}

TEST(ServerDirectoryTest, NearcallDirComesFirst) {
  const NameDirectory names;
  const TemporaryDirectory runtime;
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  EXPECT_EQ(OpenServerDirectory()->path(), names.path());
}

TEST(ServerDirectoryTest, ThenTheUsersRuntimeDirectory) {
  const TemporaryDirectory runtime;
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  EXPECT_EQ(OpenServerDirectory()->path(), runtime / "nearcall");
  EXPECT_EQ(ModeOf(runtime / "nearcall"), 0700u);
}

TEST(ServerDirectoryTest, ARuntimeDirectoryOfAnotherUserDoesNotCount) {
  NEARCALL_TEST_NEEDS_ROOT();
  const TemporaryDirectory runtime;
  ASSERT_EQ(::chown(runtime.path().c_str(), kOtherUid, kOtherUid), 0);
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  EXPECT_THAT(ClientDirectories().value(), ElementsAre("/run/nearcall", "/tmp/nearcall-0"));
}

TEST(ServerDirectoryTest, LastTheUsersOwnInTmp) {
  NEARCALL_TEST_NEEDS_ROOT();
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  const ScopedEnv no_runtime("XDG_RUNTIME_DIR", nullptr);
  Child other([] {
    BecomeUser(kOtherUid);
    const auto directory = OpenServerDirectory();
    ::rmdir("/tmp/nearcall-12345");
    return directory.ok() && directory->path() == "/tmp/nearcall-12345" ? 0 : 1;
  });
  EXPECT_EQ(other.Wait(), 0);
}

// What the test below starts.
TEST(ServerDirectoryTest, DISABLED_InASetUserIdProgram) {
  ASSERT_NE(::geteuid(), ::getuid()) << "NOT TESTED: no set-user-ID programs here";
  EXPECT_THAT(ClientDirectories().value(), ElementsAre("/run/nearcall", "/tmp/nearcall-12345"));
}

TEST(ServerDirectoryTest, ASetUserIdProgramDoesNotTrustTheEnvironment) {
  NEARCALL_TEST_NEEDS_ROOT();
  if (nearcall::testing::kSanitizers) GTEST_SKIP() << "a sanitizer trusts the environment, and wants the address space";
  const TemporaryDirectory place;
  ASSERT_EQ(::chmod(place.path().c_str(), 0755), 0);
  const std::string program = place / "program";
  std::filesystem::copy_file("/proc/self/exe", program);
  ASSERT_EQ(::chown(program.c_str(), kOtherUid, kOtherUid), 0);
  ASSERT_EQ(::chmod(program.c_str(), 04755), 0);
  const ScopedEnv chosen("NEARCALL_DIR", place.path().c_str());
  const ScopedEnv runtime("XDG_RUNTIME_DIR", place.path().c_str());
  Child child([&] {
    return ::execl(program.c_str(), program.c_str(), "--gtest_filter=ServerDirectoryTest.DISABLED_InASetUserIdProgram",
                   "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
  });
  EXPECT_EQ(child.Wait(), 0);
}

TEST(ServerDirectoryTest, NearcallDirMustBeAbsolute) {
  const ScopedEnv env("NEARCALL_DIR", "relative");
  EXPECT_TRUE(absl::IsInvalidArgument(OpenServerDirectory().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ClientDirectories().status()));
}

TEST(ClientDirectoriesTest, NearcallDirAloneOrTheOthersInOrder) {
  const TemporaryDirectory runtime;
  const ScopedEnv env("XDG_RUNTIME_DIR", runtime.path().c_str());
  const std::string last = "/tmp/nearcall-" + std::to_string(::geteuid());
  {
    const NameDirectory names;
    EXPECT_THAT(ClientDirectories().value(), ElementsAre(names.path()));
  }
  const ScopedEnv no_choice("NEARCALL_DIR", nullptr);
  EXPECT_THAT(ClientDirectories().value(), ElementsAre(runtime / "nearcall", "/run/nearcall", last));
}

}  // namespace
}  // namespace nearcall::transport::testing
