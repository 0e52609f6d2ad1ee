// SPDX-License-Identifier: Apache-2.0

// client SERVER: makes a film with one frame of 3840 x 2160, has SERVER decode it, and looks at the pixels where they
// are.
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "frame_decoder.nearcall.pb.h"

namespace {

constexpr uint32_t kWidth = 3840;
constexpr uint32_t kHeight = 2160;

// Each row has its own colour.
std::FILE* MakeFilm(uint32_t rows) {
  std::FILE* const film = std::tmpfile();
  for (uint32_t row = 0; film != nullptr && row < rows; ++row) {
    const std::array<uint32_t, 2> run = {kWidth, row * 3};
    std::fwrite(run.data(), sizeof(run), 1, film);
  }
  if (film != nullptr) std::rewind(film);
  return film;
}

// The attachment is memory of the server's, which can neither change nor go.
bool IsAsFilmed(std::span<const std::byte> pixels) {
  if (pixels.size() != size_t{kWidth} * kHeight * sizeof(uint32_t)) return false;
  for (size_t i = 0; i < size_t{kWidth} * kHeight; ++i) {
    uint32_t pixel;
    std::memcpy(&pixel, pixels.data() + i * sizeof(pixel), sizeof(pixel));
    if (pixel != i / kWidth * 3) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: client SERVER\n";
    return 2;
  }
  nearcall::ChannelOptions options;
  options.exec.inherit_env = false;
  auto channel = nearcall::Channel::Connect("exec:" + std::string(argv[1]), options);
  if (!channel.ok()) {
    std::cerr << channel.status() << '\n';
    return 1;
  }
  const frame_decoder::FrameDecoder::Stub decoder(*channel);
  frame_decoder::Order order;
  order.set_width(kWidth);
  order.set_height(kHeight);
  for (const uint32_t rows : {kHeight, kHeight - 1}) {
    std::FILE* const film = MakeFilm(rows);
    if (film == nullptr) return 1;
    const int fd = ::fileno(film);
    std::vector<nearcall::Buffer> frame;
    const auto reply =
        decoder.Decode(order, {.timeout = absl::Seconds(10), .descriptors = {&fd, 1}, .reply_attachments = &frame});
    std::fclose(film);
    std::cout << rows << " rows: ";
    if (reply.ok() && frame.size() == 1) {
      std::cout << reply->runs() << " runs, " << frame[0].size() << " bytes"
                << (IsAsFilmed(frame[0].bytes()) ? ", as they were filmed\n" : ", which are wrong\n");
    } else {
      std::cout << reply.status().message() << '\n';
    }
  }
}
