// SPDX-License-Identifier: Apache-2.0
#include "transport/rendezvous/inherited.h"

#include <fcntl.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "transport/rendezvous/socket_kind.h"
#include "transport/rendezvous/spawn.h"

namespace nearcall::transport {

absl::StatusOr<base::Fd> TakeInheritedSocket(absl::string_view text) {
  const char* const number = ::secure_getenv(kInheritedFdVariable);
  if (number == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(text,
                     " no client has started this process ($NEARCALL_FD is not set): a client does that with "
                     "Channel::Connect(\"exec:/path/of/this/program\"); to be started by hand it listens at a "
                     "name, too"));
  }
  int fd = -1;
  if (!absl::SimpleAtoi(number, &fd) || !IsSeqpacketSocket(fd) || !IsConnected(fd)) {
    return absl::InvalidArgumentError(absl::StrCat(text, " $NEARCALL_FD is \"", absl::CHexEscape(number),
                                                   "\", which is no connected Unix-domain SOCK_SEQPACKET socket"));
  }
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0 || (flags & FD_CLOEXEC) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(text, " the socket (fd:", fd, ") has been taken already, by another server of this process"));
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return base::Fd(fd);
}

}  // namespace nearcall::transport
