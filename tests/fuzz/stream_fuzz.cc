// SPDX-License-Identifier: Apache-2.0

// One end of a stream, caller's or callee's, and a peer that is a script: frames of any kind, flags and bytes, whose
// headers are right. What is taken is what was sent, in order, and what waits unread is bounded and paid for.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <string>

#include "base/check.h"
#include "base/quota.h"
#include "fuzz/fuzz_input.h"
#include "session/stream.h"
#include "wire/header.h"

namespace nearcall::fuzz {
namespace {

using session::CostOf;
using wire::FrameKind;

constexpr size_t kMaxMessage = 20'000;
// What no element pays for by itself, beside the window: those that are copied.
constexpr size_t kMaxCopied = 4096;

class Script {
 public:
  explicit Script(Input input)
      : input_(input),
        ends_(input_.Take<uint8_t>()),
        window_(1u + input_.Take<uint16_t>() % 5000),
        stream_({.peer_is_caller = ends_ % 2 != 0,
                 .peer_streams = ends_ % 4 < 2,
                 .send_window = window_,
                 .receive_window = window_},
                reading_, writing_),
        count_(window_) {}

  void Run() {
    while (!input_.empty() && Step()) CheckWhatWaits();
    mine_.Clear();
    stream_.GiveUp();
    NEARCALL_CHECK(pool_.taken().bytes() == 0 && pool_.taken().count() == 0);
  }

 private:
  // False: the peer has done what it must not.
  bool Step() {
    switch (input_.Take<uint8_t>() % 8) {
      case 0:
        Read(1);
        return true;
      case 1:
        Read(100);
        return true;
      case 2:
        Write(input_.Take<uint8_t>());
        return true;
      default:
        return TakeFrame();
    }
  }

  bool TakeFrame() {
    wire::Message message;
    wire::FrameHeader& header = message.header;
    const auto kind = input_.Take<uint8_t>();
    header.kind = kind % 4 == 0 ? FrameKind::kHalfClose : kind % 4 == 1 ? FrameKind::kCredit : FrameKind::kMessage;
    if (kind % 32 != 0 && header.kind == FrameKind::kHalfClose) header.kind = FrameKind::kMessage;
    header.flags = wire::kFirst | wire::kLast;
    header.call_id = 1;
    std::span<const std::byte> bytes;
    if (header.kind == FrameKind::kCredit) {
      header.message_size = input_.Take<uint16_t>();
    } else if (header.kind == FrameKind::kMessage) {
      const auto flags = input_.Take<uint8_t>();
      if (flags % 16 == 1) header.flags |= wire::kEnd;
      if (flags % 8 == 2) header.flags |= wire::kEnvelope;
      if (flags % 4 == 3) header.flags |= wire::kPacked;
      const size_t size = input_.Take<uint16_t>() % kMaxMessage;
      bytes = flags % 4 == 3 || flags < 128 ? input_.TakeBytes(size) : Zeros().first(size);
      header.message_size = header.payload_size = static_cast<uint32_t>(bytes.size());
      if (header.has(wire::kEnvelope)) header.envelope_size = std::min(header.message_size, 1u + flags / 8u);
    }
    return !IsRight(header) || Take(message, bytes);
  }

  static std::span<const std::byte> Zeros() {
    static const std::array<std::byte, kMaxMessage> zeros{};
    return zeros;
  }

  // Only such frames come so far.
  static bool IsRight(const wire::FrameHeader& header) {
    std::array<std::byte, wire::kHeaderSize> bytes;
    wire::EncodeHeader(header, bytes);
    wire::FrameHeader decoded;
    return wire::DecodeHeader(bytes, wire::kHeaderSize + header.payload_size, decoded).ok();
  }

  bool Take(wire::Message& message, std::span<const std::byte> bytes) {
    // No larger than it says, so that a sanitizer sees each byte read beyond it.
    message.bytes.Resize(bytes.size());
    std::copy(bytes.begin(), bytes.end(), message.bytes.data());
    NEARCALL_CHECK(message.charge.TryTake(&memory_, base::Amount::Of(1, bytes.size())));
    const wire::FrameHeader header = message.header;
    const bool was_done = stream_.peer_is_done();
    if (!stream_.Take(message).ok()) return false;
    if (header.kind == FrameKind::kMessage) Expect(header, bytes.subspan(header.envelope_size), was_done);
    if (header.kind == FrameKind::kCredit) NEARCALL_CHECK((credit_ += header.message_size) <= window_);
    if (header.kind == FrameKind::kHalfClose || header.has(wire::kEnd)) {
      NEARCALL_CHECK(ends_ % 2 != 0 && !was_done && stream_.peer_is_done());
    }
    return true;
  }

  // What has been taken, taken apart in another way.
  void Expect(const wire::FrameHeader& header, std::span<const std::byte> payload, bool was_done) {
    if (!header.has(wire::kPacked)) return ExpectOne(payload, was_done);
    size_t at = 0;
    while (at != payload.size()) {
      uint32_t size = 0;
      NEARCALL_CHECK(payload.size() - at >= sizeof(size));
      std::memcpy(&size, payload.data() + at, sizeof(size));
      at += sizeof(size);
      NEARCALL_CHECK(size <= payload.size() - at);
      ExpectOne(payload.subspan(at, size), was_done);
      at += size;
    }
  }

  void ExpectOne(std::span<const std::byte> element, bool was_done) {
    NEARCALL_CHECK(!was_done && sent_ < granted_ + window_);
    sent_ += CostOf(element.size());
    unread_ += CostOf(element.size());
    largest_ = std::max(largest_, CostOf(element.size()));
    expected_.emplace_back(reinterpret_cast<const char*>(element.data()), element.size());
  }

  void Read(size_t elements) {
    for (size_t i = 0; i < elements; ++i) {
      if (mine_.empty() && !stream_.TakeArrivals(mine_)) {
        NEARCALL_CHECK(expected_.empty());
        return;
      }
      const std::span<const std::byte> element = mine_.front();
      const std::string& expected = expected_.front();
      NEARCALL_CHECK(element.size() == expected.size());
      NEARCALL_CHECK(std::memcmp(element.data(), expected.data(), expected.size()) == 0 || expected.empty());
      const uint32_t credit = count_.Read(element.size());
      unread_ -= CostOf(element.size());
      stream_.OpenWindow(credit);
      granted_ += credit;
      expected_.pop_front();
      mine_.Pop();
    }
  }

  void Write(size_t size) {
    NEARCALL_CHECK(stream_.may_write() == (credit_ > 0));
    NEARCALL_CHECK(stream_.BeginElement(size) == (credit_ > 0));
    if (credit_ > 0) credit_ -= CostOf(size);
  }

  void CheckWhatWaits() {
    NEARCALL_CHECK(unread_ <= window_ + largest_);
    size_t bytes = 0;
    for (const std::string& element : expected_) bytes += element.size();
    NEARCALL_CHECK(bytes <= window_ + kMaxCopied + pool_.taken().bytes());
  }

  Input input_;
  const uint8_t ends_;
  const uint32_t window_;
  base::Pool pool_{base::Amount::Of(1000, size_t{1} << 30)};
  base::Allowance memory_{{}, pool_};
  session::Waiting reading_;
  session::Waiting writing_;
  session::Stream stream_;
  session::Arrivals mine_;
  session::ReadCount count_;

  std::deque<std::string> expected_;  // taken, and not read
  int64_t sent_ = 0;
  int64_t granted_ = 0;
  int64_t unread_ = 0;
  int64_t largest_ = 0;
  int64_t credit_ = window_;
};

}  // namespace

void Run(Input input) {
  Script(input).Run();
}

}  // namespace nearcall::fuzz
