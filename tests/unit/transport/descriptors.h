// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <string>

#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace nearcall::transport::testing {

// What a peer might pass in place of what it should.
inline constexpr std::array kDescriptorKinds = {"read end of a pipe",
                                                "write end of a pipe",
                                                "socket",
                                                "unconnected socket",
                                                "/dev/null",
                                                "/dev/zero",
                                                "/tmp",
                                                "file",
                                                "memory",
                                                "closed"};

// A descriptor of one of kDescriptorKinds.
inline base::Fd DescriptorOfKind(absl::string_view kind) {
  int pair[2] = {-1, -1};
  if (kind == "read end of a pipe" || kind == "write end of a pipe") {
    EXPECT_EQ(::pipe2(pair, O_CLOEXEC), 0);
  } else if (kind == "socket") {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  } else if (kind == "unconnected socket") {
    return base::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  } else if (kind == "/dev/null" || kind == "/dev/zero" || kind == "/tmp") {
    return base::Fd(::open(std::string(kind).c_str(), O_RDONLY | O_CLOEXEC));
  } else if (kind == "file") {
    return base::Fd(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  } else if (kind == "memory") {
    base::Fd memory(::memfd_create("test", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(memory.get(), 4096), 0);
    return memory;
  }
  const base::Fd not_wanted(pair[kind == "write end of a pipe" ? 0 : 1]);
  return base::Fd(pair[kind == "write end of a pipe" ? 1 : 0]);
}

// For INSTANTIATE_TEST_SUITE_P.
inline std::string NameOfKind(const ::testing::TestParamInfo<const char*>& test) {
  std::string name = test.param;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
}

}  // namespace nearcall::transport::testing
