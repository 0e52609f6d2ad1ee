// SPDX-License-Identifier: Apache-2.0
#include "rpc/message_writer.h"

#include <cstring>
#include <memory>
#include <utility>

#include "rpc/piece_stream.h"
#include "rpc/serialize.h"

namespace nearcall::rpc {

namespace {

using Parts = std::span<const std::span<const std::byte>>;

void Serialize(std::span<std::byte> to, std::span<const std::byte> envelope, const google::protobuf::MessageLite* reply,
               size_t reply_size, Parts tail) {
  if (!envelope.empty()) std::memcpy(to.data(), envelope.data(), envelope.size());
  if (reply != nullptr) SerializeCached(*reply, to.subspan(envelope.size(), reply_size));
  if (!tail.empty()) SerializeTail(tail, to.subspan(envelope.size() + reply_size));
}

// Sends a large message piece by piece while there is room, and collects the rest from the first piece that finds none.
class LargeMessage {
 public:
  LargeMessage(session::Outbox& outbox, const wire::FrameHeader& header, size_t size, size_t max_frame_size,
               session::Flow* flow, std::shared_ptr<const base::Descriptors> descriptors)
      : outbox_(outbox), size_(size), message_(std::make_unique<session::Outgoing>(header, size, max_frame_size)) {
    message_->flow = flow;
    message_->Enclose(std::move(descriptors));
  }
  LargeMessage(const LargeMessage&) = delete;
  LargeMessage& operator=(const LargeMessage&) = delete;
  // Gives up what was not finished: without memory, too.
  ~LargeMessage() {
    if (message_ != nullptr) outbox_.Withdraw(*message_);
  }

  // False: what is left may not be kept.
  bool Take(std::span<const std::byte> piece) {
    if (message_->kept.size() == 0) {
      message_->piece = piece;
      if (outbox_.TryOffer(*message_)) {
        passed_ += piece.size();
        return true;
      }
      over_quota_ = !outbox_.TryCharge(*message_, size_ - passed_);
      if (over_quota_) return false;
      message_->piece = {};
      message_->kept.Resize(size_ - passed_);
      message_->kept_from = passed_;
    }
    std::memcpy(message_->kept.data() + (passed_ - message_->kept_from), piece.data(), piece.size());
    passed_ += piece.size();
    return true;
  }
  bool over_quota() const { return over_quota_; }

  void Finish() {
    if (message_->kept.size() != 0) outbox_.Keep(std::move(message_));
    message_.reset();
  }

 private:
  session::Outbox& outbox_;
  const size_t size_;
  std::unique_ptr<session::Outgoing> message_;
  size_t passed_ = 0;
  bool over_quota_ = false;
};

}  // namespace

Written WriteMessage(session::Outbox& outbox, size_t max_frame_size, const wire::FrameHeader& header,
                     std::span<const std::byte> envelope, const google::protobuf::MessageLite* payload,
                     size_t payload_size, session::Flow* flow, std::shared_ptr<const base::Descriptors> descriptors,
                     const Attached* attached) {
  const Parts tail = attached == nullptr ? Parts() : attached->tail();
  const size_t size = envelope.size() + payload_size + (attached == nullptr ? 0 : attached->tail_size());
  const auto write = [&](std::span<std::byte> to) { Serialize(to, envelope, payload, payload_size, tail); };
  if (session::GoesInPlace(size, max_frame_size)) {
    if (header.fd_count == 0 && outbox.TrySend(header, size, write)) return Written::kAll;
    auto message = std::make_unique<session::Outgoing>(header, size, max_frame_size);
    if (!outbox.TryCharge(*message, size)) return Written::kOverQuota;
    message->flow = flow;
    message->Enclose(std::move(descriptors));
    message->kept.Resize(size);
    write(message->kept.bytes());
    outbox.Keep(std::move(message));
    return Written::kAll;
  }
  LargeMessage large(outbox, header, size, max_frame_size, flow, std::move(descriptors));
  const auto take = [&](std::span<const std::byte> piece) { return large.Take(piece); };
  PieceStream pieces(size, max_frame_size, take);
  if (pieces.WriteAll(envelope, payload, tail)) {
    large.Finish();
    return Written::kAll;
  }
  return large.over_quota() ? Written::kOverQuota : Written::kChanged;
}

}  // namespace nearcall::rpc
