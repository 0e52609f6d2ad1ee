// SPDX-License-Identifier: Apache-2.0
#include "rpc/blocking_call.h"

#include <optional>
#include <span>
#include <stop_token>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "rpc/piece_stream.h"

namespace nearcall::rpc {

absl::Status BlockingCall::Run(session::ClientSession& session, const google::protobuf::MessageLite& request,
                               google::protobuf::MessageLite& reply) {
  if (absl::Status status = request_.CheckPeerLimit(session); !status.ok()) return status;
  session::WaitingCall call(session);
  request_.Describe(call);
  const auto cancel = [&session, &call] { session.Cancel(call); };
  const std::stop_token& stop = request_.options().stop_token;
  std::optional<std::stop_callback<decltype(cancel)>> on_stop;
  if (stop.stop_possible()) on_stop.emplace(stop, cancel);

  absl::Status begun = call.Begin(request_.fail_fast());
  if (!begun.ok()) return begun;
  absl::Status status = base::OrNoMemory([&] {
    if (Send(session, call, request)) call.Wait();
    return absl::OkStatus();
  });
  if (!status.ok()) call.Fail(status);
  on_stop.reset();
  status = base::OrNoMemory([&] {
    const absl::Status ended = request_.StatusOf(call.failure, call.reply);
    return ended.ok() ? request_.Parse(call.reply, reply) : ended;
  });
  call.Release();
  return status;
}

// False: the call has ended already.
bool BlockingCall::Send(session::ClientSession& session, session::WaitingCall& call,
                        const google::protobuf::MessageLite& request) {
  const wire::FrameHeader header = request_.Header(call.id);
  const size_t size = request_.size();
  if (size <= base::kInPlaceMax && wire::kHeaderSize + size <= session.max_frame_size()) {
    const auto write = [&](std::span<std::byte> to) { request_.Serialize(request, to.data()); };
    if (call.TrySend(header, size, write)) return true;
  }
  return SendByPieces(session, call, header, request);
}

bool BlockingCall::SendByPieces(session::ClientSession& session, session::WaitingCall& call,
                                const wire::FrameHeader& header, const google::protobuf::MessageLite& request) {
  session::Outgoing message(header, request_.size(), session.max_frame_size());
  const auto send = [&](std::span<const std::byte> piece) {
    message.piece = piece;
    return call.Send(message, request_.fail_fast());
  };
  if (request_.size() == 0) return send({});
  const auto serialize = [&] {
    PieceStream pieces(request_.size(), session.max_frame_size(), send);
    const bool whole = pieces.Write(std::as_bytes(std::span(request_.envelope()))) &&
                       request.SerializePartialToZeroCopyStream(&pieces) && pieces.Finish();
    if (whole) return absl::OkStatus();
    return base::WithExecState(absl::InternalError(absl::StrCat("the request of ", request_.method().full_name,
                                                                " changed while it was serialised")),
                               ExecState::kNotSent);
  };
  absl::Status failure = base::OrNoMemory(serialize);
  if (failure.ok()) return true;
  call.Fail(std::move(failure), message);
  return false;
}

}  // namespace nearcall::rpc
