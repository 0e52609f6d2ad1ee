// SPDX-License-Identifier: Apache-2.0

// interop_server ADDRESS: serves InteropService there until SIGTERM, and says so once it does.
#include <cstdio>
#include <iostream>

#include "interop_service.h"
#include "nearcall/server.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: interop_server ADDRESS, such as pipe:interop\n";
    return 2;
  }
  nearcall::interop::InteropService service("interop_server");
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen(argv[1]).Register(&service).Start();
  if (!server.ok()) {
    std::cerr << "interop_server: " << server.status() << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  (*server)->Wait();
}
