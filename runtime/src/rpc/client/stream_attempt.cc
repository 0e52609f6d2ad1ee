// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/stream_attempt.h"

#include <span>
#include <utility>

#include "base/clock.h"
#include "base/no_memory.h"
#include "rpc/client/send_request.h"
#include "rpc/piece_stream.h"
#include "rpc/serialize.h"
#include "session/outgoing.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

StreamAttempt::StreamAttempt(std::shared_ptr<session::ClientSession> over, const CallHead& head)
    : session(std::move(over)), call(*session, internal::ServerStreams(head.method().kind)), head_(head) {
  head.Describe(call);
}

StreamAttempt::~StreamAttempt() {
  Release();
}

absl::Status StreamAttempt::Begin(const google::protobuf::MessageLite* request) {
  if (absl::Status begun = call.Begin(head_.fail_fast()); !begun.ok()) return begun;
  has_begun_ = true;
  element = head_.elements().Header(call.id);
  bool sent = false;
  absl::Status failure = base::OrNoMemory([&] {
    sent = SendRequest(head_, *session, call, request);
    return absl::OkStatus();
  });
  if (!failure.ok()) call.Fail(std::move(failure));
  // The connection is just ending.
  if (sent && !call.sent()) call.Wait();
  if (call.sent() && sent) return absl::OkStatus();
  failure = call.failure;
  // OK: a server that answers before it has all of the opening.
  if (!failure.ok()) Release();
  return failure;
}

bool StreamAttempt::EndIfLate() {
  if (head_.deadline() != base::kNever && base::NowNs() >= head_.deadline()) call.EndAtDeadline();
  return call.given_up();
}

bool StreamAttempt::Send(const wire::FrameHeader& header, const google::protobuf::MessageLite& message, size_t size,
                         std::span<const int> descriptors, const Attached& attached) {
  const size_t max_frame_size = session->transport().max_frame_size();
  const size_t whole = size + attached.tail_size();
  if (descriptors.empty() && attached.empty() && session::GoesInPlace(size, max_frame_size)) {
    const auto write = [&](std::span<std::byte> to) { SerializeCached(message, to); };
    if (call.TrySendElement(header, size, write)) return true;
  }
  session::Outgoing outgoing(header, whole, max_frame_size);
  outgoing.descriptors = descriptors;
  bool ended = false;
  const auto send = [&](std::span<const std::byte> piece) {
    outgoing.piece = piece;
    ended = !call.SendElement(outgoing);
    return !ended;
  };
  if (whole == 0) return send({});
  const absl::Status failure = base::OrNoMemory([&] {
    PieceStream pieces(whole, max_frame_size, send);
    return pieces.WriteAll({}, &message, attached.tail()) ? absl::OkStatus() : head_.elements().Changed();
  });
  if (failure.ok()) return true;
  if (!ended) call.GiveUp(failure, outgoing);
  return false;
}

bool StreamAttempt::Read(ReadElements& elements, google::protobuf::MessageLite& message) {
  size_t cost;
  absl::Status parsed = elements.Next([&](auto bytes) { return head_.elements().Parse(bytes, message); }, cost);
  if (!parsed.ok()) {
    call.GiveUp(std::move(parsed));
    return false;
  }
  call.GiveCredit(element, cost);
  return true;
}

bool StreamAttempt::HalfClose() {
  wire::FrameHeader header = element;
  header.kind = wire::FrameKind::kHalfClose;
  if (call.TrySendElement(header, 0, [](std::span<std::byte>) {})) return true;
  session::Outgoing half_close(header, 0, session->transport().max_frame_size());
  return call.SendElement(half_close);
}

bool StreamAttempt::GoesElsewhere() const {
  absl::Status status = call.failure;
  const wire::FrameHeader& header = call.reply.header;
  if (status.ok() && header.status == static_cast<uint8_t>(absl::StatusCode::kUnavailable)) {
    status = base::OrNoMemory([&]() -> absl::Status {
      auto envelope = wire::DecodeReplyEnvelope(absl::StatusCode::kUnavailable,
                                                call.reply.bytes.bytes().first(header.envelope_size));
      return envelope.ok() ? envelope->status : envelope.status();
    });
  }
  return rpc::GoesElsewhere(*session, status);
}

void StreamAttempt::Release() {
  if (std::exchange(has_begun_, false)) call.Release();
}

}  // namespace nearcall::rpc
