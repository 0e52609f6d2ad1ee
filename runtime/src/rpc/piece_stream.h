// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "absl/functional/function_ref.h"
#include "base/buffer.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "google/protobuf/message_lite.h"
#include "wire/header.h"

namespace nearcall::rpc {

// Where protobuf serialises a large message to: pieces of one frame's payload each, in one private buffer that stays in
// the cache, handed to `sink` (which must outlive this) as they fill up. Used by one thread.
class PieceStream final : public google::protobuf::io::ZeroCopyOutputStream {
 public:
  // Takes a full piece (or the last one) and returns when the bytes may be overwritten. False: give up.
  using Sink = absl::FunctionRef<bool(std::span<const std::byte> piece)>;

  PieceStream(size_t message_size, size_t max_frame_size, Sink sink)
      : left_(message_size), piece_(max_frame_size - wire::kHeaderSize), sink_(sink) {}

  // All of a message: `envelope`, then `payload`, which may be null, then `tail`, in parts. False: the sink gave up, or
  // there were fewer or more bytes than were announced.
  bool WriteAll(std::span<const std::byte> envelope, const google::protobuf::MessageLite* payload,
                std::span<const std::span<const std::byte>> tail = {});

  // The envelope goes first.
  bool Write(std::span<const std::byte> bytes);

  // Hands over the last piece. False: the sink gave up, or fewer bytes came than were announced.
  bool Finish();

  // ZeroCopyOutputStream
  bool Next(void** data, int* size) override;
  void BackUp(int count) override;
  int64_t ByteCount() const override { return static_cast<int64_t>(written_); }

 private:
  bool Flush();

  size_t left_;  // of the message, without what is in the piece
  base::Buffer piece_;
  size_t filled_ = 0;
  size_t written_ = 0;
  bool failed_ = false;
  Sink sink_;
};

}  // namespace nearcall::rpc
