// SPDX-License-Identifier: Apache-2.0

// Frames of any bytes into the header's decoder and the reassembler, as a hostile peer sends them. The decoder sees
// short headers too; what it lets through is encoded again and must be the same.
#include <array>
#include <vector>

#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::fuzz {
namespace {

constexpr size_t kMaxMessage = 4096;

void CheckThatItIsWhatWasDecoded(const wire::FrameHeader& header, std::span<const std::byte> bytes) {
  std::array<std::byte, wire::kHeaderSize> again;
  wire::EncodeHeader(header, again);
  NEARCALL_CHECK(std::equal(again.begin(), again.end(), bytes.begin()));
}

}  // namespace

void Run(Input input) {
  wire::Reassembler reassembler(kMaxMessage);
  wire::Message message;
  while (!input.empty()) {
    const size_t size = input.Take<uint16_t>() % 1024;
    const std::span<const std::byte> frame = input.TakeBytes(size);
    // On the heap and no larger than it says, so that a sanitizer sees each byte read beyond it.
    const std::vector<std::byte> copy(frame.begin(), frame.end());
    wire::FrameHeader header;
    if (!wire::DecodeHeader(copy, copy.size(), header).ok()) continue;
    CheckThatItIsWhatWasDecoded(header, copy);
    const auto take = [&](std::span<std::byte> to) {
      NEARCALL_CHECK(to.size() == copy.size() - wire::kHeaderSize);
      std::copy_n(copy.begin() + wire::kHeaderSize, to.size(), to.begin());
    };
    const auto result = reassembler.Receive(header, message, take);
    if (!result.ok()) return;
    NEARCALL_CHECK(reassembler.CheckInvariants());
    if (*result == wire::Reassembler::Result::kMessage) {
      // Half-close and credit are a header alone, whatever else it says.
      const bool alone = header.kind == wire::FrameKind::kHalfClose || header.kind == wire::FrameKind::kCredit;
      NEARCALL_CHECK(message.bytes.size() == (alone ? 0 : message.header.message_size));
    }
  }
}

}  // namespace nearcall::fuzz
