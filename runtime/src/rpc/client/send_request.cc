// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/send_request.h"

#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/no_memory.h"
#include "rpc/piece_stream.h"

namespace nearcall::rpc {

namespace {

bool SendByPieces(const CallHead& head, session::ClientSession& session, session::WaitingCall& call,
                  const wire::FrameHeader& header, const google::protobuf::MessageLite* request) {
  session::Outgoing message(header, head.size(), session.transport().max_frame_size());
  message.descriptors = head.descriptors();
  const auto send = [&](std::span<const std::byte> piece) {
    message.piece = piece;
    return call.Send(message, head.fail_fast());
  };
  if (head.size() == 0) return send({});
  const auto serialize = [&] {
    PieceStream pieces(head.size(), session.transport().max_frame_size(), send);
    if (pieces.WriteAll(std::as_bytes(std::span(head.envelope())), request, head.attached().tail()))
      return absl::OkStatus();
    return base::WithExecState(absl::InternalError(absl::StrCat("the request of ", head.method().full_name,
                                                                " changed while it was serialised")),
                               ExecState::kNotSent);
  };
  absl::Status failure = base::OrNoMemory(serialize);
  if (failure.ok()) return true;
  call.Fail(std::move(failure), message);
  return false;
}

}  // namespace

bool SendRequest(const CallHead& head, session::ClientSession& session, session::WaitingCall& call,
                 const google::protobuf::MessageLite* request) {
  const wire::FrameHeader header = head.Header(call.id);
  const size_t size = head.size();
  if (header.fd_count == 0 && session::GoesInPlace(size, session.transport().max_frame_size())) {
    const auto write = [&](std::span<std::byte> to) { head.Serialize(request, to.data()); };
    if (call.TrySend(header, size, write)) return true;
  }
  return SendByPieces(head, session, call, header, request);
}

}  // namespace nearcall::rpc
