// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace nearcall::tools {

// Where a server listens, or has listened: a socket, or the FIFOs of a name.
struct ServerSocket {
  std::string address;  // by which a channel finds it: a name, or a path where another one hides the name
  std::string path;     // an address, too: of a socket its path, of FIFOs `fifo:` and the path
  bool has_fifos = false;
};

// Those in the directories in which a channel of this user looks for names (runtime/PROTOCOL.md, "The name").
std::vector<ServerSocket> FindServerSockets();

struct SocketOwner {
  pid_t pid = 0;  // 0: not known
  std::string user = {};
  std::string why_not = {};  // nobody can be reached
};

// Its name, or its number.
std::string UserName(uid_t uid);

// Who listens, as the kernel says; of FIFOs it knows only whose they are. Does not wait.
SocketOwner OwnerOf(const ServerSocket& socket);

}  // namespace nearcall::tools
