// SPDX-License-Identifier: Apache-2.0

// The receiving side of a ring over a region of any content, which goes on changing: the peer is a script. First the
// ring's bytes; then steps, each of which moves the tail, writes a word somewhere, or lets the victim look and take.
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "transport/fault.h"
#include "transport/shm/layout.h"
#include "transport/shm/ring_reader.h"

namespace nearcall::fuzz {
namespace {

using transport::Transport;
using transport::shm::ControlPage;

constexpr size_t kRingSize = 4096;
constexpr size_t kMaxFrames = 2000;  // what honest words can announce is read in far fewer

void TakeAll(transport::shm::RingReader& reader) {
  for (size_t i = 0; i < kMaxFrames; ++i) {
    size_t size = 0;
    if (reader.Peek(size) != Transport::ReadState::kFrame) break;
    NEARCALL_CHECK(size >= 1 && size <= kRingSize);
    std::vector<std::byte> frame(size);
    reader.CopyOut(0, frame);
    reader.Pop();
    NEARCALL_CHECK(i + 1 < kMaxFrames);
  }
  reader.Release();
}

}  // namespace

void Run(Input input) {
  ControlPage own{};
  ControlPage peer{};
  // Of its own size, so that a sanitizer sees each byte read beyond it. Aligned as a page is.
  struct alignas(4096) Ring {
    std::byte bytes[kRingSize];
  };
  const auto ring = std::make_unique<Ring>();
  std::memset(ring->bytes, 0, kRingSize);
  const std::span<const std::byte> image = input.TakeBytes(input.Take<uint16_t>() % (kRingSize + 1));
  std::copy(image.begin(), image.end(), ring->bytes);
  transport::Fault fault("shm");
  transport::shm::RingReader reader(own, peer, std::span(ring->bytes), fault);
  while (!input.empty()) {
    switch (input.Take<uint8_t>() % 4) {
      case 0:
        peer.tail.store(input.Take<uint64_t>());
        break;
      case 1:
        peer.tail.store(peer.tail.load() + input.Take<uint16_t>());
        break;
      case 2: {
        const size_t at = input.Take<uint16_t>() % (kRingSize / 8) * 8;
        const uint64_t word = input.Take<uint64_t>();
        std::memcpy(ring->bytes + at, &word, sizeof(word));
        break;
      }
      default:
        reader.HasFrame();
        TakeAll(reader);
        NEARCALL_CHECK(own.head.load() <= peer.tail.load() || fault.found());
    }
  }
}

}  // namespace nearcall::fuzz
