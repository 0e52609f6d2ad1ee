// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/answer.h"

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "nearcall/interceptor.h"
#include "rpc/message_writer.h"
#include "rpc/protobuf_log.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

void Answer::Reset() {
  stream_ = nullptr;
  given_ = told_start_ = false;
  interception_.reset();
}

absl::Status Answer::AskInterceptors() {
  const auto& interceptors = core_.options.interceptors;
  interception_ = std::make_unique<Interception>(
      request_.method_name(), call_.one_way() ? internal::MethodKind::kOneWay : request_.kind(), *core_.logger);
  return interception_->Ask(interceptors.size(),
                            [&](size_t i) { return interceptors[i]->Start(interception_->call(), context_); });
}

void Answer::Finish(const absl::Status& status, const google::protobuf::MessageLite* reply) {
  if (request_.expired()) {
    return Give(absl::DeadlineExceededError("the handler took longer than the deadline allowed"), ExecState::kExecuted);
  }
  const absl::Status failure = stream_ == nullptr ? absl::OkStatus() : stream_->Failure();
  if (!failure.ok()) return Give(failure, ExecState::kExecuted);
  Give(status, ExecState::kExecuted, status.ok() ? reply : nullptr);
}

void Answer::Refuse(const absl::Status& status, ExecState exec_state) {
  core_.calls_refused.fetch_add(1, std::memory_order_relaxed);
  tally_.NoteRefused();
  Give(status, exec_state);
}

void Answer::GiveAtStart() {
  Deliver(absl::OkStatus(), ExecState::kExecuted, nullptr);
  given_ = false;  // by the handler
  told_start_ = true;
  request_.NoteWritten();  // the handler may take its time
}

void Answer::Give(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply) {
  if (interception_ != nullptr) TellInterceptors(status, reply);
  Deliver(status, exec_state, reply);
}

// Of what goes out, as far as that is known before it does: they may add to the metadata.
void Answer::TellInterceptors(const absl::Status& status, const google::protobuf::MessageLite* reply) {
  const absl::Status checked = base::OrNoMemory([&] { return Check(reply == nullptr ? 0 : reply->ByteSizeLong()); });
  const absl::Status& last = checked.ok() || told_start_ ? status : checked;
  const internal::MethodKind kind = request_.kind();
  const bool one_reply = last.ok() && reply != nullptr && !internal::ServerStreams(kind);
  interception_->Tell(last,
                      {.sent = one_reply ? 1 : tally_.elements_written(),
                       .received = internal::ClientStreams(kind) ? tally_.elements_read() : 1},
                      context_.initial_metadata(), context_.trailing_metadata());
}

void Answer::Deliver(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply) try {
  given_ = true;
  tally_.NoteAnswer(status.code());
  if (stream_ != nullptr) stream_->End();
  if (told_start_) return NoteOneWayEnd(status);
  if (request_.session->end().gone()) return;
  call_.FreeSlot();
  const size_t reply_size = reply == nullptr ? 0 : reply->ByteSizeLong();
  std::shared_ptr<const base::Descriptors> descriptors;
  absl::StatusOr<Attached> attached = status.ok() ? context_.TakeReplyAttachments() : Attached();
  absl::Status checked = attached.ok() ? Check(reply_size + attached->tail_size()) : attached.status();
  if (checked.ok() && status.ok()) checked = context_.TakeReplyDescriptors(attached->passed(), descriptors);
  if (checked.ok()) {
    Send(status, exec_state, reply, reply_size, std::move(descriptors), *attached);
  } else {
    SendInstead(checked, exec_state);
  }
} catch (const std::bad_alloc&) {
  // A part of it may have gone. The client must not wait for the rest.
  request_.session->HangUp();
}

void Answer::NoteOneWayEnd(const absl::Status& status) {
  if (status.ok()) return;
  core_.one_way_failed.fetch_add(1, std::memory_order_relaxed);
  Log(LogSeverity::kWarning, absl::StrCat("a one-way call of ", request_.method_name(), " has ended with ",
                                          status.ToString(), "; its caller is not told"));
}

// Why the answer cannot be sent as the handler made it.
absl::Status Answer::Check(size_t reply_size) const {
  for (const Metadata* metadata : {&context_.initial_metadata(), &context_.trailing_metadata()}) {
    if (metadata->empty()) continue;
    if (absl::Status valid = metadata->Validate(); !valid.ok()) {
      return absl::InternalError(absl::StrCat("the handler's metadata: ", valid.message()));
    }
  }
  const size_t limit = std::min(core_.options.max_message_size, request_.session->client().max_message_size());
  if (reply_size > limit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the reply has ", reply_size, " B, more than max_message_size (", limit, " B)"));
  }
  return absl::OkStatus();
}

void Answer::Send(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply,
                  size_t reply_size, std::shared_ptr<const base::Descriptors> descriptors, const Attached& attached) {
  Metadata& initial = context_.initial_metadata();
  Metadata& trailing = context_.trailing_metadata();
  if (stream_ != nullptr && stream_->sent_initial_metadata()) initial.Clear();
  std::string envelope;
  if (!status.ok() || !initial.empty() || !trailing.empty()) {
    absl::StatusOr<std::string> encoded = wire::EncodeReplyEnvelope(
        {.initial = initial, .trailing = trailing, .status = status, .exec_state = exec_state});
    // Too much metadata, or too many details.
    if (!encoded.ok()) return SendInstead(encoded.status(), exec_state);
    envelope = *std::move(encoded);
  }
  wire::FrameHeader header = request_.HeaderOf(wire::FrameKind::kReply);
  header.status = static_cast<uint8_t>(status.code());
  header.envelope_size = static_cast<uint32_t>(envelope.size());
  if (!envelope.empty()) header.flags |= wire::kEnvelope;
  attached.Announce(header, {});
  if (descriptors != nullptr) header.fd_count = static_cast<uint8_t>(descriptors->fds().size());
  session::ServerSession& session = *request_.session;
  const ProtobufLog log;
  const Written written = WriteMessage(
      session.outbox(), session.transport().max_frame_size(), header, std::as_bytes(std::span(envelope)), reply,
      reply_size, stream_ == nullptr ? nullptr : &stream_->flow(), std::move(descriptors), &attached);
  if (written == Written::kAll) {
    tally_.NoteSent(envelope.size() + reply_size);
  } else if (written == Written::kChanged) {
    SendInstead(absl::InternalError("the reply changed while it was serialised"), exec_state);
  } else if (written == Written::kOverQuota) {
    SendInstead(session.client().account()->MemoryRefusal(reply_size), exec_state);
  }
  if (!log.text().empty()) {
    Log(LogSeverity::kWarning, absl::StrCat("the reply of ", request_.method_name(), ": ", log.text()));
  }
}

void Answer::SendInstead(const absl::Status& status, ExecState exec_state) {
  tally_.NoteAnswer(status.code());
  context_.initial_metadata().Clear();
  context_.trailing_metadata().Clear();
  Send(status, exec_state, nullptr, 0);
}

void Answer::Log(LogSeverity severity, absl::string_view line) const {
  core_.logger->Log({base::LogKind::kUserCode, request_.session->client().peer().uid}, severity, line);
}

}  // namespace nearcall::rpc
