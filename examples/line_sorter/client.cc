// SPDX-License-Identifier: Apache-2.0

// client SERVER FILE: starts the server, has it sort the file's lines, and prints them.
#include <fcntl.h>
#include <sys/mman.h>

#include <iostream>
#include <string>
#include <vector>

#include "line_sorter.nearcall.pb.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: client SERVER FILE\n";
    return 2;
  }
  auto channel = nearcall::Channel::Connect("exec:" + std::string(argv[1]));
  if (!channel.ok()) {
    std::cerr << channel.status() << '\n';
    return 1;
  }
  const nearcall::UniqueFd file(::open(argv[2], O_RDONLY | O_CLOEXEC));
  if (!file) {
    std::cerr << argv[2] << ": cannot be opened\n";
    return 1;
  }
  const int fd = file.get();
  std::vector<nearcall::UniqueFd> sorted;
  const auto reply = line_sorter::Sorter::Stub(*channel).Sort(
      {}, {.timeout = absl::Seconds(10), .descriptors = {&fd, 1}, .reply_descriptors = &sorted});
  // The server may be anybody's program: what it has sent is looked at before it is mapped.
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_WRITE;
  if (!reply.ok() || sorted.size() != 1 || (::fcntl(sorted[0].get(), F_GET_SEALS) & kSeals) != kSeals) {
    std::cerr << (reply.ok() ? "the server has sent no sealed memory" : reply.status().ToString()) << '\n';
    return 1;
  }
  void* const lines = ::mmap(nullptr, reply->bytes(), PROT_READ, MAP_PRIVATE, sorted[0].get(), 0);
  if (lines == MAP_FAILED) return 1;
  std::cout.write(static_cast<const char*>(lines), static_cast<std::streamsize>(reply->bytes()));
  ::munmap(lines, reply->bytes());
}
