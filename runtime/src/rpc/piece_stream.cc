// SPDX-License-Identifier: Apache-2.0
#include "rpc/piece_stream.h"

#include <algorithm>
#include <cstring>

namespace nearcall::rpc {

bool PieceStream::Next(void** data, int* size) {
  if (filled_ == piece_.size() && !Flush()) return false;
  const size_t room = std::min(piece_.size(), left_) - filled_;
  // protobuf asks for more than it announced (a message that changed while it was serialised).
  if (room == 0) failed_ = true;
  if (failed_) return false;
  *data = piece_.data() + filled_;
  *size = static_cast<int>(room);
  filled_ += room;
  written_ += room;
  return true;
}

void PieceStream::BackUp(int count) {
  filled_ -= static_cast<size_t>(count);
  written_ -= static_cast<size_t>(count);
}

bool PieceStream::WriteAll(std::span<const std::byte> envelope, const google::protobuf::MessageLite* payload,
                           std::span<const std::span<const std::byte>> tail) {
  return Write(envelope) && (payload == nullptr || payload->SerializePartialToZeroCopyStream(this)) &&
         std::all_of(tail.begin(), tail.end(), [this](std::span<const std::byte> part) { return Write(part); }) &&
         Finish();
}

bool PieceStream::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    void* data;
    int size;
    if (!Next(&data, &size)) return false;
    const size_t taken = std::min(bytes.size(), static_cast<size_t>(size));
    std::memcpy(data, bytes.data(), taken);
    BackUp(size - static_cast<int>(taken));
    bytes = bytes.subspan(taken);
  }
  return true;
}

bool PieceStream::Finish() {
  return !failed_ && filled_ == left_ && (filled_ == 0 || Flush());
}

bool PieceStream::Flush() {
  if (!failed_ && !sink_(std::as_const(piece_).bytes().first(filled_))) failed_ = true;
  left_ -= filled_;
  filled_ = 0;
  return !failed_;
}

}  // namespace nearcall::rpc
