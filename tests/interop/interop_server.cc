// SPDX-License-Identifier: Apache-2.0

// interop_server ADDRESS: serves InteropService there (or CoInteropService) until SIGTERM, and says so once it does.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#ifdef INTEROP_COROUTINES
#include "co_interop_service.h"
using InteropServiceHere = nearcall::interop::CoInteropService;
#else
#include "interop_service.h"
using InteropServiceHere = nearcall::interop::InteropService;
#endif
#include "nearcall/server.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: interop_server ADDRESS, such as pipe:interop\n";
    return 2;
  }
  InteropServiceHere service("interop_server " + std::to_string(::getpid()));
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen(argv[1]).Register(&service).Start();
  if (!server.ok()) {
    std::cerr << "interop_server: " << server.status() << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  (*server)->Wait();
}
