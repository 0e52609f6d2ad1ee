// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/client_stream.h"

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/client/send_request.h"
#include "rpc/only_one.h"
#include "rpc/piece_stream.h"
#include "rpc/serialize.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

using Took = session::StreamingCall::Took;

ClientStreamImpl::ClientStreamImpl(const internal::MethodInfo& method, const CallOptions& options,
                                   size_t max_message_size)
    : options_(OptionsOf(options)), head_(method, options_, max_message_size) {}

CallOptions ClientStreamImpl::OptionsOf(const CallOptions& options) {
  CallOptions ours = options;
  ours.response_metadata = &metadata_;
  return ours;
}

ClientStreamImpl::~ClientStreamImpl() {
  const base::CancelDisabled uncancelled;
  if (fork_guard_.InChild()) {
    // The call, and whatever locks were held, are the parent's.
    static_cast<void>(call_.release());
    return;
  }
  if (call_ == nullptr || status_.has_value()) return;
  session_->Cancel(*call_);
  call_->Fail(absl::CancelledError("the stream was destroyed"));  // waits, if somebody is just ending it
  Close();
}

absl::Status ClientStreamImpl::Open(std::shared_ptr<session::ClientSession> session,
                                    const google::protobuf::MessageLite* request) {
  if (absl::Status status = head_.CheckPeerLimit(*session); !status.ok()) return status;
  session_ = std::move(session);
  call_ = std::make_unique<session::StreamingCall>(*session_, internal::ServerStreams(head_.method().kind));
  head_.Describe(*call_);
  if (options_.stop_token.stop_possible()) {
    on_stop_.emplace(options_.stop_token, [this] { session_->Cancel(*call_); });
  }
  if (absl::Status begun = call_->Begin(head_.fail_fast()); !begun.ok()) {
    on_stop_.reset();
    call_.reset();
    return begun;
  }
  element_ = head_.ElementHeader(call_->id);
  bool sent = false;
  absl::Status failure = base::OrNoMemory([&] {
    sent = SendRequest(head_, *session_, *call_, request);
    return absl::OkStatus();
  });
  if (sent) return absl::OkStatus();
  if (!failure.ok()) call_->Fail(std::move(failure));
  failure = call_->failure;
  Close();
  call_.reset();
  return failure;
}

// False: `step` said so, or there was no memory, with which the call ends.
template <typename Step>
bool ClientStreamImpl::Do(Step&& step) {
  try {
    return step();
  } catch (const std::bad_alloc&) {
    call_->GiveUp(base::NoMemory());
    return false;
  }
}

// The call has ended.
void ClientStreamImpl::Close() {
  on_stop_.reset();
  mine_.Clear();
  call_->Release();
}

void ClientStreamImpl::Cancel() {
  const base::CancelDisabled uncancelled;
  if (streams()) session_->Cancel(*call_);
}

// --- who reads ---

bool ClientStreamImpl::Read(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  if (!streams() || status_.has_value()) return false;
  const bool read = Do([&] { return ReadNext(message); });
  if (!read) message.Clear();
  return read;
}

bool ClientStreamImpl::ReadNext(google::protobuf::MessageLite& message) {
  for (;;) {
    if (Expired()) return false;
    if (!mine_.empty()) return Parse(message);
    switch (call_->Take(mine_)) {
      case Took::kSome:
        if (!TakeInitial()) return false;
        break;
      case Took::kNotYet:
        call_->WaitReadable();
        break;
      case Took::kOver:
        return false;
    }
  }
}

// What has come before is not wanted then: given up, or past the deadline.
bool ClientStreamImpl::Expired() {
  if (head_.deadline() != base::kNever && base::NowNs() >= head_.deadline()) call_->EndAtDeadline();
  return call_->given_up();
}

bool ClientStreamImpl::Parse(google::protobuf::MessageLite& message) {
  const size_t size = mine_.front().size();
  absl::Status parsed = head_.ParseElement(mine_.front(), message);
  mine_.Pop();
  if (!parsed.ok()) {
    call_->GiveUp(std::move(parsed));
    return false;
  }
  call_->GiveCredit(element_, size);
  return true;
}

// Once something has come of the server. False: what it sent are no metadata, and the call has ended with that.
bool ClientStreamImpl::TakeInitial() {
  if (has_initial_) return true;
  const std::optional<std::string> envelope = call_->InitialEnvelope();
  if (!envelope.has_value()) return true;
  has_initial_ = true;
  if (envelope->empty()) return true;
  absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(std::as_bytes(std::span(*envelope)));
  if (!metadata.ok()) {
    call_->GiveUp(base::WithExecState(metadata.status(), ExecState::kExecuted));
    return false;
  }
  metadata_.initial = *std::move(metadata);
  return true;
}

bool ClientStreamImpl::WaitForInitialMetadata() {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  if (!streams() || status_.has_value()) return has_initial_;
  return Do([&] { return WaitForInitial(); });
}

bool ClientStreamImpl::WaitForInitial() {
  for (;;) {
    const Took took = mine_.empty() ? call_->Take(mine_) : Took::kSome;
    if (!TakeInitial()) return false;
    if (has_initial_) return true;
    // The reply alone may have brought them.
    if (took == Took::kOver) {
      if (!call_->failure.ok()) return false;
      head_.StatusOf(call_->failure, call_->reply).IgnoreError();
      return has_initial_ = true;
    }
    call_->WaitReadable();
  }
}

absl::Status ClientStreamImpl::Finish(google::protobuf::MessageLite* reply) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  if (fork_guard_.InChild()) {
    return absl::FailedPreconditionError("the stream was made before fork(); a child must make calls of its own");
  }
  if (!status_.has_value()) status_ = base::OrNoMemory([&] { return End(reply); });
  return *status_;
}

absl::Status ClientStreamImpl::End(google::protobuf::MessageLite* reply) {
  call_->Discard(element_, mine_);
  // Another thread that is just writing half-closes by itself.
  if (!somebody_writes_.exchange(true, std::memory_order_acquire)) {
    HalfClose();
    somebody_writes_.store(false, std::memory_order_release);
  }
  call_->Drain(element_);
  TakeInitial();
  Metadata initial = std::move(metadata_.initial);
  absl::Status status = base::OrNoMemory([&] {
    absl::Status ended = head_.StatusOf(call_->failure, call_->reply);
    return ended.ok() && reply != nullptr ? head_.Parse(call_->reply, *reply) : ended;
  });
  if (has_initial_) metadata_.initial = std::move(initial);
  has_initial_ = true;
  Close();
  GoesElsewhere(*session_, status);
  return status;
}

// --- who writes ---

bool ClientStreamImpl::Write(const google::protobuf::MessageLite& message, bool last) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  if (!streams() || writes_done_ || !internal::ClientStreams(head_.method().kind)) return false;
  const size_t size = message.ByteSizeLong();
  const size_t own_limit = head_.max_message_size();
  const size_t limit = std::min(own_limit, session_->peer_max_message_size());
  if (size > limit) {
    const char* const name = limit == own_limit ? "ChannelOptions" : "the server's ServerOptions";
    call_->GiveUp(
        absl::ResourceExhaustedError(absl::StrCat("an element of ", head_.method().full_name, " has ", size,
                                                  " B, more than ", name, "::max_message_size (", limit, " B)")));
    return false;
  }
  return Do([&] {
    if (!call_->BeginElement(size, head_.fail_fast())) return false;
    writes_done_ = last;
    wire::FrameHeader header = element_;
    if (last) header.flags |= wire::kEnd;
    return Send(header, message, size);
  });
}

bool ClientStreamImpl::Send(const wire::FrameHeader& header, const google::protobuf::MessageLite& message,
                            size_t size) {
  const size_t max_frame_size = session_->max_frame_size();
  if (session::GoesInPlace(size, max_frame_size)) {
    const auto write = [&](std::span<std::byte> to) { SerializeCached(message, to); };
    if (call_->TrySendElement(header, size, write)) return true;
  }
  session::Outgoing element(header, size, max_frame_size);
  bool ended = false;
  const auto send = [&](std::span<const std::byte> piece) {
    element.piece = piece;
    ended = !call_->SendElement(element);
    return !ended;
  };
  if (size == 0) return send({});
  const absl::Status failure = base::OrNoMemory([&] {
    PieceStream pieces(size, max_frame_size, send);
    if (pieces.WriteAll({}, &message)) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("an element of ", head_.method().full_name, " changed while it was serialised"));
  });
  if (failure.ok()) return true;
  if (!ended) call_->GiveUp(failure, element);
  return false;
}

bool ClientStreamImpl::WritesDone() {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  return streams() && Do([&] { return HalfClose(); });
}

bool ClientStreamImpl::HalfClose() {
  if (writes_done_ || !internal::ClientStreams(head_.method().kind) || call_->ended()) return false;
  writes_done_ = true;
  wire::FrameHeader header = element_;
  header.kind = wire::FrameKind::kHalfClose;
  if (call_->TrySendElement(header, 0, [](std::span<std::byte>) {})) return true;
  session::Outgoing half_close(header, 0, session_->max_frame_size());
  return call_->SendElement(half_close);
}

}  // namespace nearcall::rpc
