// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/fd.h"
#include "nearcall/server_context.h"

namespace nearcall::transport {

// Makes the kernel say, with each message that `socket` receives, who sent it (SO_PASSCRED, unix(7)), and nothing else;
// and, where the kernel can (Linux 6.16), refuse descriptors that the peer wants to pass if `accept_fds` is false.
absl::Status PrepareToIdentify(const base::Fd& socket, bool accept_fds);

// Nothing comes with the messages any more, and descriptors are refused as above: what does come beside the bytes
// (MSG_CTRUNC) can only be descriptors.
void StopIdentifying(const base::Fd& socket);

// Where the kernel can: the peer's attempt to pass descriptors fails.
void RefuseDescriptors(const base::Fd& socket);

// Whether a peer with this uid is trusted. `allowed` empty: this process's effective user and root; else exactly those
// that it lists. The uid of a process that the kernel cannot name here (65534) has to be listed, (uid_t)-1 never is
// trusted.
bool IsTrusted(uid_t uid, const std::vector<uid_t>& allowed);

// Whether a client is served: its user is trusted, or it is of one of `gids`. Who is not named is not.
bool IsServed(const PeerIdentity& client, const std::vector<uid_t>& uids, const std::vector<gid_t>& gids);

// The supplementary groups of `peer`, who has just sent a message over `socket`, as they were when it connected. The
// kernel knows them of who made the socket at the other end: nobody else is given them.
std::vector<gid_t> GroupsOf(const PeerIdentity& peer, const base::Fd& socket);

// "2, 3": the uids that IsTrusted() says yes to, for messages.
std::string DescribeTrusted(const std::vector<uid_t>& allowed);

// The kernel's own reference to the process that made the socket at the other end: called connect, listen or socketpair
// (SO_PEERPIDFD). Not valid, and errno says why: ENOPROTOOPT before Linux 6.5; EINVAL or ESRCH, before 6.16, if that
// process is dead and gone.
base::Fd MakersPidfd(const base::Fd& socket);

// A descriptor that becomes readable when process `pid`, which has just sent a message over `socket`, dies. Invalid if
// the kernel has none, or `pid` is 0 (a process of a pid namespace that is not visible here). A process that made the
// socket itself is never mistaken for one that got its number later; of any other one the caller has to know that it
// lived on after this call.
base::Fd OpenPeerPidfd(const base::Fd& socket, pid_t pid);

}  // namespace nearcall::transport
