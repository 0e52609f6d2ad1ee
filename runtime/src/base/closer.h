// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.h"

namespace nearcall::base {

// Closes `fd` on a thread that may wait in the kernel as long as it likes. For what a peer has made or may have put
// into it: the last close of a TCP socket that lingers, or any of a file whose file system is the peer's (FUSE), takes
// as long as the peer wants it to. Returns at once, never fails and never throws. Any thread.
//
// The threads start when there is something to close and end when there is nothing left. Neither the end of the process
// nor a fork()ed child waits for them.
void CloseElsewhere(Fd fd);

}  // namespace nearcall::base
