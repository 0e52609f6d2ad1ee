// SPDX-License-Identifier: Apache-2.0

// Sorts the lines of files that it cannot open itself: it is given their descriptors. Started by its client.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "line_sorter.nearcall.pb.h"

namespace {

class SorterImpl final : public line_sorter::Sorter::Service {
  absl::Status Sort(nearcall::ServerContext& context, const line_sorter::Order& order,
                    line_sorter::Sorted& reply) override {
    const std::vector<nearcall::UniqueFd> files = context.TakeDescriptors();
    if (files.size() != 1) return absl::InvalidArgumentError("expected the descriptor of one file");
    const absl::StatusOr<std::string> text = ReadAll(files[0].get());
    if (!text.ok()) return text.status();
    std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
    std::sort(lines.begin(), lines.end());
    if (order.backwards()) std::reverse(lines.begin(), lines.end());
    const std::string sorted = absl::StrJoin(lines, "\n") + "\n";
    reply.set_lines(lines.size());
    reply.set_bytes(sorted.size());

    nearcall::UniqueFd memory(::memfd_create("sorted", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (::write(memory.get(), sorted.data(), sorted.size()) != static_cast<ssize_t>(sorted.size())) {
      return absl::ErrnoToStatus(errno, "write the lines");
    }
    // Whoever maps it need not fear that it shrinks.
    ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    context.reply_descriptors().push_back(std::move(memory));
    return absl::OkStatus();
  }

  static absl::StatusOr<std::string> ReadAll(int fd) {
    std::string text;
    std::array<char, 4096> part;
    for (;;) {
      const ssize_t size = ::read(fd, part.data(), part.size());
      if (size < 0) return absl::ErrnoToStatus(errno, "read the file");
      if (size == 0) return text;
      text.append(part.data(), static_cast<size_t>(size));
    }
  }
};

}  // namespace

int main() {
  SorterImpl sorter;
  nearcall::ServerOptions options;
  options.max_descriptors_per_message = 1;
  auto server = nearcall::ServerBuilder(options).Listen("inherited:").Register(&sorter).Start();
  if (!server.ok()) {
    std::cerr << server.status() << '\n';
    return 1;
  }
  (*server)->Wait();
}
