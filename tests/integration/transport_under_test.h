// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"
#include "transport/transport_table.h"

// The tests are the same for every transport; NEARCALL_TEST_TRANSPORT names the one of this run. Unset: the best.
namespace nearcall::integration {

// Ends the program if there is no transport of that name.
const transport::TransportRow& TransportUnderTest();

inline absl::string_view TransportName() {
  return TransportUnderTest().name;
}

// The same, or the best of those that meet at a socket, if that one does not.
absl::string_view SocketTransportName();

// Of what is said at a server's socket, or over that of a connection.
#define NEEDS_SOCKETS() \
  if (!TransportUnderTest().MeetsAtSocket()) GTEST_SKIP() << TransportName() << " has no socket"

// Whether a bare name may mean it. Not what the table says, which is under test too.
inline bool IsMeantByABareName() {
  return TransportName() != "sysv" && TransportName() != "fifo";
}

// Whether descriptors, and memory by them, go with messages. Not what the table says, which is under test too.
inline bool CarriesDescriptors() {
  return TransportName() != "sysv" && TransportName() != "fifo";
}

#define NEEDS_DESCRIPTORS() \
  if (!CarriesDescriptors()) GTEST_SKIP() << TransportName() << " carries no descriptors"

// Of clients or servers of another user.
#define NEEDS_OTHER_USERS() \
  if (!TransportUnderTest().MeetsAtSocket()) GTEST_SKIP() << TransportName() << " is for one user"

// A process's number, as it is known at the other end: not where there is no socket that tells.
inline pid_t KnownPid(pid_t pid) {
  return TransportUnderTest().MeetsAtSocket() ? pid : 0;
}

// Where a name (or an absolute path) is reached over that transport: "shm:echo".
std::string Address(absl::string_view name = "echo");

}  // namespace nearcall::integration
