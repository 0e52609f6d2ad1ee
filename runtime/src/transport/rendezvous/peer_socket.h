// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/fd.h"

namespace nearcall::transport {

// A socket over which a peer may send descriptors, though it must not. Only Linux 6.16 can forbid them (SO_PASSRIGHTS),
// and not those that were sent before. Whoever takes such a message, or closes a socket in which one waits, has the
// kernel close them on his own thread, which may block for as long as the peer likes. So a message is looked at before
// it is taken, one with descriptors is never taken, and a socket with messages in it is closed elsewhere.

enum class NextMessage {
  kNone,     // none yet
  kReset,    // the peer closed with messages of ours unread; said once, and what it had sent can be read after it
  kMessage,  // one without descriptors, or the end
  kFds,      // one with descriptors
};

// Of a socket whose messages do not say who sent them (StopIdentifying). Never blocks.
NextMessage LookAtNext(const base::Fd& socket);

// Hangs up and closes. In a fork()ed child the caller just closes instead: the connection is the parent's.
void CloseSocket(base::Fd socket);

// The same for one that listens, and those who wait for it.
void CloseListener(base::Fd listener);

}  // namespace nearcall::transport
