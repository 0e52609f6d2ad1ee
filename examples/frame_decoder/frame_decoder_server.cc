// SPDX-License-Identifier: Apache-2.0

// Decodes a frame of a film that it cannot open itself, in a sandbox, into memory that its client reads in place.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <vector>

#include "frame_decoder.nearcall.pb.h"
#include "sandbox.h"

namespace {

constexpr uint32_t kMaxSide = 8192;

class FrameDecoderImpl final : public frame_decoder::FrameDecoder::Service {
  absl::Status Decode(nearcall::ServerContext& context, const frame_decoder::Order& order,
                      frame_decoder::Frame& reply) override {
    const std::vector<nearcall::UniqueFd> films = context.TakeDescriptors();
    if (films.size() != 1) return absl::InvalidArgumentError("expected the descriptor of one film");
    if (order.width() > kMaxSide || order.height() > kMaxSide) return absl::OutOfRangeError("the frame is too large");
    absl::StatusOr<nearcall::Buffer> frame =
        nearcall::Buffer::Allocate(size_t{order.width()} * order.height() * sizeof(uint32_t));
    if (!frame.ok()) return frame.status();

    std::span<std::byte> left = frame->mutable_bytes();
    for (std::array<uint32_t, 2> run; !left.empty(); reply.set_runs(reply.runs() + 1)) {
      if (::read(films[0].get(), run.data(), sizeof(run)) != sizeof(run)) return absl::DataLossError("the film ends");
      if (run[0] > left.size() / sizeof(uint32_t)) return absl::DataLossError("a run goes beyond the frame");
      for (; run[0] != 0; --run[0], left = left.subspan(sizeof(uint32_t))) {
        std::memcpy(left.data(), &run[1], sizeof(uint32_t));
      }
    }
    context.reply_attachments().push_back(*std::move(frame));
    return absl::OkStatus();
  }
};

}  // namespace

int main() {
  if (absl::Status inside = decoder::EnterSandbox(); !inside.ok()) {
    std::cerr << inside << "\n";
    return 1;
  }
  FrameDecoderImpl service;
  auto server =
      nearcall::ServerBuilder({.max_descriptors_per_message = 1}).Listen("inherited:").Register(&service).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
