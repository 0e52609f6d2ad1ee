// SPDX-License-Identifier: Apache-2.0

// exec_server MODE [FIFO]: a server that a channel starts. It serves Echo and Streams until it is alone. MODE:
//
//   serve      on threads
//   queue      in an event queue
//   linger     as serve, and does not end after that but by SIGTERM
//   stubborn   as linger, and ignores SIGTERM
//   late       as serve, once somebody has opened FIFO for writing
//
// Some requests of Say are orders; the others come back.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "co_service.h"
#include "echo_service.h"
#include "nearcall/event_queue.h"
#include "nearcall/server.h"
#include "stream_service.h"

namespace nearcall::integration {
namespace {

constexpr unsigned kLongestLife = 120;  // seconds, whatever happens to the test

[[noreturn]] void Crash() {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(SIGSEGV, SIG_DFL);
  ::kill(::getpid(), SIGSEGV);
  for (;;) ::pause();
}

// What its descriptors lead to.
std::string Descriptors() {
  std::string all;
  DIR* const directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) {
    char target[256] = {};
    if (::readlinkat(::dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0) {
      absl::StrAppend(&all, entry->d_name, " -> ", target, "\n");
    }
  }
  ::closedir(directory);
  return all;
}

// "SigIgn:\t0000000000000000", of its first thread.
std::string StatusLine(const std::string& name) {
  std::ifstream file(absl::StrCat("/proc/", ::getpid(), "/status"));
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, name)) return line;
  }
  return "";
}

std::string Environment(const std::string& name) {
  const char* const value = ::getenv(name.c_str());
  return value == nullptr ? "unset" : value;
}

// A process that has all descriptors of this one, and lives on.
std::string Fork() {
  const pid_t pid = ::fork();
  if (pid != 0) return absl::StrCat(pid);
  ::alarm(kLongestLife);
  for (;;) ::pause();
}

std::string Obey(const std::string& order, const std::string& arguments) {
  if (order == "crash") Crash();
  if (order == "exit") ::_exit(3);
  if (order == "hang") {
    for (;;) ::pause();
  }
  if (order == "hang up") ::shutdown(3, SHUT_RDWR);
  if (order == "fork") return Fork();
  if (order == "pid") return absl::StrCat(::getpid());
  if (order == "group") return absl::StrCat(::getpgrp());
  if (order == "arguments") return arguments;
  if (order == "directory") return std::unique_ptr<char, void (*)(void*)>(::getcwd(nullptr, 0), ::free).get();
  if (order == "descriptors") return Descriptors();
  absl::string_view rest = order;
  if (absl::ConsumePrefix(&rest, "status ")) return StatusLine(std::string(rest));
  if (absl::ConsumePrefix(&rest, "environment ")) return Environment(std::string(rest));
  return order;
}

int Serve(const std::string& mode, const std::string& arguments) {
  EchoService echo;
  echo.say = [&](ServerContext&, const Blob& request, Blob& reply) {
    reply = MakeBlob(Obey(request.data(), arguments));
    return absl::OkStatus();
  };
  StreamService streams;
  CoStreamService co_streams;
  const bool has_queue = mode == "queue";
  const auto queue = has_queue ? std::make_unique<EventQueue>() : nullptr;
  ServerBuilder builder({.signal_grace = absl::ZeroDuration(), .event_queue = queue.get()});
  builder.Listen("inherited:").Register(&echo);
  has_queue ? builder.Register(&co_streams) : builder.Register(&streams);
  auto server = builder.Start();
  if (!server.ok()) {
    std::cerr << server.status() << std::endl;
    return 1;
  }
  (*server)->Wait();
  while (mode == "linger" || mode == "stubborn") ::pause();
  return 0;
}

int Main(int argc, char** argv) {
  ::alarm(kLongestLife);
  const std::string mode = argc < 2 ? "serve" : argv[1];
  if (mode == "stubborn") ::signal(SIGTERM, SIG_IGN);
  if (mode == "late" && ::open(argv[2], O_RDONLY | O_CLOEXEC) < 0) return 2;
  std::string arguments;
  for (int i = 0; i < argc; ++i) absl::StrAppend(&arguments, argv[i], "|");
  return Serve(mode, arguments);
}

}  // namespace
}  // namespace nearcall::integration

int main(int argc, char** argv) {
  return nearcall::integration::Main(argc, argv);
}
