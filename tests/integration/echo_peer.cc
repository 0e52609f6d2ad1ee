// SPDX-License-Identifier: Apache-2.0

// A process for the tests to start and to kill:
//
//   echo_peer server ADDRESS THREADS [CLIENTS]
//                                      serves Echo and Streams, at most to so many CLIENTS if the transport must know;
//                                      says "ready"; says what it is doing, in one line, for each line that it reads;
//                                      ends when its input ends
//   echo_peer successor ADDRESS THREADS
//                                      the same; takes the name over from another one, and lets others do so
//   echo_peer shared ADDRESS THREADS   the same; shares the name with others
//   echo_peer callers ADDRESS COUNT    COUNT threads in calls on one channel; says "busy"
//   echo_peer client ADDRESS COUNT     COUNT calls at once, then COUNT more for each line that it reads; says "served"
//                                      when they are done

#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "crash/callers.h"
#include "echo_service.h"
#include "handlers.h"
#include "stream_service.h"

namespace nearcall::integration {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

void Say(const std::string& line) {
  std::cout << line << std::endl;
}

int Serve(const std::string& address, size_t threads, size_t clients, const std::string& role) {
  EchoService echo;
  echo.say = SleepIfAsked;
  Holding holding;
  echo.may_block = holding.handler();
  StreamService streams;
  auto server =
      ServerBuilder(
          {.max_handler_threads = threads, .expected_clients = clients, .allow_successor = role == "successor"})
          .Listen(address, {.shared = role == "shared"})
          .Register(&echo)
          .Register(&streams)
          .Start();
  if (!server.ok()) {
    std::cerr << server.status() << std::endl;
    return 1;
  }
  Say("ready");
  for (std::string line; std::getline(std::cin, line);) {
    Say(absl::StrReplaceAll((*server)->DebugString(), {{"\n", "; "}}));
  }
  return 0;
}

std::shared_ptr<Channel> Connect(const std::string& address) {
  auto channel = Channel::Connect(address, {.connect_timeout = kPatience, .handshake_timeout = kPatience});
  if (channel.ok()) return *std::move(channel);
  std::cerr << channel.status() << std::endl;
  return nullptr;
}

int RunCallers(const std::string& address, size_t count) {
  const auto channel = Connect(address);
  if (channel == nullptr) return 1;
  Callers callers(Echo::Stub(channel), count);
  Say(callers.WaitUntilBusy(0) ? "busy" : "stuck");
  return 0;
}

int RunClient(const std::string& address, size_t count) {
  const auto channel = Connect(address);
  if (channel == nullptr) return 1;
  const Echo::Stub echo(channel);
  std::string line;
  do {
    for (size_t i = 0; i < count; ++i) {
      const absl::Status status = echo.Say(MakeBlob("hello"), {.timeout = kPatience}).status();
      if (status.ok()) continue;
      std::cerr << status << std::endl;
      return 1;
    }
    Say("served");
  } while (std::getline(std::cin, line));
  return 0;
}

int Main(const std::string& role, const std::string& address, size_t count, size_t clients) {
  if (role == "server" || role == "successor" || role == "shared") return Serve(address, count, clients, role);
  if (role == "callers") return RunCallers(address, count);
  if (role == "client") return RunClient(address, count);
  return 2;
}

}  // namespace
}  // namespace nearcall::integration

int main(int argc, char** argv) {
  size_t count = 0;
  size_t clients = nearcall::ServerOptions().expected_clients;
  if (argc < 4 || argc > 5 || !absl::SimpleAtoi(argv[3], &count)) return 2;
  if (argc == 5 && !absl::SimpleAtoi(argv[4], &clients)) return 2;
  return nearcall::integration::Main(argv[1], argv[2], count, clients);
}
