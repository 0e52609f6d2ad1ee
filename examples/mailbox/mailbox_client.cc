// SPDX-License-Identifier: Apache-2.0

// mailbox_client put BOX TEXT      puts a letter into a box; waits for room, a second at most
// mailbox_client take BOX COUNT    takes so many letters, one after the other, prints and acknowledges them
// mailbox_client drop BOX COUNT    the same, but acknowledges none: as one that crashes over them
#include <cstdlib>
#include <iostream>
#include <string>

#include "mailbox.nearcall.pb.h"

namespace {

absl::Status Put(const mailbox::Mailbox::Stub& stub, const std::string& box, const std::string& text) {
  mailbox::PutRequest request;
  request.set_box(box);
  request.set_body(text);
  return stub.Put(request, {.timeout = absl::Seconds(1)}).status();
}

absl::Status Take(const mailbox::Mailbox::Stub& stub, const std::string& box, unsigned long count, bool acknowledges) {
  mailbox::TakeRequest request;
  request.set_box(box);
  request.set_count(static_cast<uint32_t>(count));
  if (!acknowledges) request.set_max_unacknowledged(static_cast<uint32_t>(count));
  const auto letters = stub.Take(request, {.timeout = absl::Seconds(30)});
  mailbox::Letter letter;
  while (count > 0 && letters->Read(&letter)) {
    std::cout << letter.body() << (letter.redelivered() ? " (again)" : "") << "\n";
    --count;
    if (!acknowledges) continue;
    mailbox::AckRequest ack;
    ack.set_box(box);
    ack.set_id(letter.id());
    if (absl::Status status = stub.Ack(ack).status(); !status.ok()) return status;
  }
  return acknowledges || count != 0 ? letters->Finish() : absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc == 4 ? argv[1] : "";
  if (command != "put" && command != "take" && command != "drop") {
    std::cerr << "usage: mailbox_client put BOX TEXT | take BOX COUNT | drop BOX COUNT\n";
    return 2;
  }
  auto channel = nearcall::Channel::Connect("shm:mailbox", {.connect_timeout = absl::Seconds(5)});
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  const mailbox::Mailbox::Stub stub(*channel);
  const absl::Status status = command == "put"
                                  ? Put(stub, argv[2], argv[3])
                                  : Take(stub, argv[2], std::strtoul(argv[3], nullptr, 10), command == "take");
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
