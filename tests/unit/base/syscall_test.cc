// SPDX-License-Identifier: Apache-2.0
#include "base/syscall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace nearcall::base {
namespace {

using ::testing::HasSubstr;

std::string Text(int error) {
  return std::string(ErrnoStatus(error, "cannot do it").message());
}

TEST(SyscallTest, RetryGoesOnAfterASignal) {
  int calls = 0;
  const int result = Retry([&] {
    errno = EINTR;
    return ++calls < 3 ? -1 : 42;
  });
  EXPECT_EQ(result, 42);
  EXPECT_EQ(calls, 3);
}

TEST(SyscallTest, RetryGivesEveryOtherErrorBack) {
  int calls = 0;
  const int result = Retry([&] {
    ++calls;
    errno = EAGAIN;
    return -1;
  });
  EXPECT_EQ(result, -1);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(SyscallTest, AStatusSaysWhatAndWhy) {
  EXPECT_EQ(Text(EBADF), "cannot do it: Bad file descriptor");
}

TEST(SyscallTest, ErrnoIsTakenWhenNoneIsGiven) {
  errno = EACCES;
  EXPECT_EQ(ErrnoStatus("x").code(), absl::StatusCode::kPermissionDenied);
}

TEST(SyscallTest, EveryErrorHasItsCode) {
  for (const int error : {EMFILE, ENFILE, ENOMEM, ENOSPC, EAGAIN, ENOBUFS, ETOOMANYREFS, EDQUOT, EFBIG}) {
    EXPECT_EQ(ErrnoStatus(error, "").code(), absl::StatusCode::kResourceExhausted) << error;
  }
  for (const int error : {EACCES, EPERM}) {
    EXPECT_EQ(ErrnoStatus(error, "").code(), absl::StatusCode::kPermissionDenied) << error;
  }
  for (const int error : {ENOENT, ECONNREFUSED, ECONNRESET, EPIPE, ENOTCONN}) {
    EXPECT_EQ(ErrnoStatus(error, "").code(), absl::StatusCode::kUnavailable) << error;
  }
  for (const int error : {EBADF, EINVAL, EIO}) {
    EXPECT_EQ(ErrnoStatus(error, "").code(), absl::StatusCode::kInternal) << error;
  }
}

TEST(SyscallTest, AReachedLimitIsNamedWithItsValue) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::string expected = limit.rlim_cur == RLIM_INFINITY ? std::string("RLIMIT_NOFILE is unlimited")
                                                               : absl::StrCat("RLIMIT_NOFILE is ", limit.rlim_cur);
  EXPECT_THAT(Text(EMFILE), HasSubstr(expected));
  EXPECT_THAT(Text(ETOOMANYREFS), HasSubstr(expected));
  EXPECT_THAT(Text(ENFILE), HasSubstr("/proc/sys/fs/file-max"));
  EXPECT_THAT(Text(ENOMEM), HasSubstr("RLIMIT_AS is "));
}

}  // namespace
}  // namespace nearcall::base
