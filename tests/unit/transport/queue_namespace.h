// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "unit/transport/process.h"

namespace nearcall::transport::testing {

inline bool WriteFile(const char* path, const std::string& text) {
  const base::Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Where this process sees its message queues: it is a user of its own without privileges, whose queues are counted from
// zero, and no queue of anybody else is here. False where the system does not allow it.
inline bool EnterQueueNamespace(const std::string& mount_point) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWNS) != 0) return false;
  if (!WriteFile("/proc/self/setgroups", "deny") ||
      !WriteFile("/proc/self/uid_map", absl::StrCat("1000 ", uid, " 1")) ||
      !WriteFile("/proc/self/gid_map", absl::StrCat("1000 ", gid, " 1"))) {
    return false;
  }
  if (::mount("none", mount_point.c_str(), "mqueue", 0, nullptr) != 0) return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return ::syscall(SYS_capset, &header, none) == 0;
}

// Runs `body` in a process whose message queues are its own; what it expects in vain fails the test. `names` lists the
// queues that have a name.
inline void WithOwnQueues(const std::function<void(const std::function<std::vector<std::string>()>& names)>& body) {
  constexpr int kNotAllowed = 77;
  const TemporaryDirectory directory;
  Child child([&] {
    if (!EnterQueueNamespace(directory.path())) return kNotAllowed;
    body([&] { return directory.Entries(); });
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  const int exit_code = child.Wait();
  if (exit_code == kNotAllowed) GTEST_SKIP() << "SKIPPED: namespaces are not allowed here";
  EXPECT_EQ(exit_code, 0) << "see above";
}

}  // namespace nearcall::transport::testing
