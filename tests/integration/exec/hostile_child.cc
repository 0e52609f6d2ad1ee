// SPDX-License-Identifier: Apache-2.0

// hostile_child HOW: a program that a channel starts, and that is no server as it should be. HOW:
//
//   garbage       answers with what is no hello
//   descriptors   answers as a server does, and passes what is no transport
//   hang-up       hangs up, and lives on
//   silent        says nothing, and does not listen
//   impostor      leaves it to another process to answer
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::integration {
namespace {

constexpr unsigned kLongestLife = 120;  // seconds, whatever happens to the test

transport::ServerHello Hello() {
  return {.features = transport::kSocketBell,
          .transport_bit = 0,
          .fd_count = 3,
          .server_id = 1,
          .connection_id = 2,
          .geometry = {65536, 65536}};
}

void AnswerWithDescriptors(const base::Fd& socket) {
  const base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::array<int, 3> fds = {null.get(), null.get(), null.get()};
  transport::SendHello(socket, Encode(Hello()), fds).IgnoreError();
}

// The other process answers when this one waits for its end.
void LeaveItToAnother(const base::Fd& socket) {
  if (::fork() != 0) return;
  AnswerWithDescriptors(socket);
  ::_exit(0);
}

void Misbehave(absl::string_view how, base::Fd socket) {
  if (how == "garbage") {
    const std::string text(100, 'x');
    ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  if (how == "descriptors") AnswerWithDescriptors(socket);
  if (how == "hang-up") socket.Reset();
  if (how == "silent") ::signal(SIGTERM, SIG_IGN);
  if (how == "impostor") LeaveItToAnother(socket);
  for (;;) ::pause();
}

}  // namespace
}  // namespace nearcall::integration

int main(int argc, char** argv) {
  ::alarm(nearcall::integration::kLongestLife);
  if (argc != 2) return 2;
  nearcall::integration::Misbehave(argv[1], nearcall::base::Fd(3));
}
