// SPDX-License-Identifier: Apache-2.0

// mailbox_server [LETTERS]: holds up to so many letters in each box, in memory.
#include <cstdlib>
#include <iostream>

#include "mailbox.h"

int main(int argc, char** argv) {
  mailbox::MailboxImpl::Limits limits;
  if (argc > 1) limits.letters = std::strtoul(argv[1], nullptr, 10);
  mailbox::MailboxImpl mailbox(limits);
  auto server = nearcall::ServerBuilder({.handle_signals = true, .signal_grace = absl::ZeroDuration()})
                    .Listen("shm:mailbox")
                    .Register(&mailbox)
                    .Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
