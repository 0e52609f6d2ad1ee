// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_stream.h"

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/message_writer.h"
#include "rpc/only_one.h"
#include "rpc/parse_message.h"
#include "rpc/server/call_context.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

ServerStreamImpl::ServerStreamImpl(ServerCore& core, const Request& request, CallContext& context, HandlerPlace& place)
    : core_(core),
      request_(request),
      context_(context),
      place_(place),
      state_({.peer_is_caller = true,
              .peer_streams = internal::ClientStreams(request.kind()),
              .send_window = request.session->send_window(),
              .receive_window = static_cast<uint32_t>(core.options.stream_window_bytes)},
             reading_, writing_),
      read_(static_cast<uint32_t>(core.options.stream_window_bytes)) {}

ServerStreamImpl::~ServerStreamImpl() {
  if (counted_) core_.open_streams.fetch_sub(1, std::memory_order_relaxed);
}

absl::Status ServerStreamImpl::Admit() {
  const size_t others = core_.open_streams.fetch_add(1, std::memory_order_relaxed);
  counted_ = true;
  if (others >= core_.options.max_waiting_handlers) {
    return absl::ResourceExhaustedError(absl::StrCat(others,
                                                     " streams are open, as many as the server's "
                                                     "ServerOptions::max_waiting_handlers allows; retry later"));
  }
  const size_t window = core_.options.stream_window_bytes;
  const size_t streams = request_.session->streams();
  if (streams * window > core_.options.max_stream_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this connection has ", streams - 1, " streams of ", window,
                     " B each, as many as the server's ServerOptions::max_stream_bytes (",
                     core_.options.max_stream_bytes, " B) allows; retry later"));
  }
  base::Account* const account = request_.session->account();
  if (window_.TryTake(account == nullptr ? nullptr : &account->memory, base::Amount::Of(0, window))) {
    return absl::OkStatus();
  }
  return account->MemoryRefusal(window);
}

absl::Status ServerStreamImpl::Failure() {
  return request_.session->Locked([this] { return state_.failure(); });
}

// Always false.
bool ServerStreamImpl::Fail(absl::Status why) {
  request_.session->Locked([&] { state_.Fail(std::move(why)); });
  return false;
}

// --- who reads ---

bool ServerStreamImpl::Read(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  bool read = false;
  try {
    read = ReadNext(message);
  } catch (const std::bad_alloc&) {
    Fail(base::NoMemory());
  }
  if (!read) message.Clear();
  return read;
}

bool ServerStreamImpl::ReadNext(google::protobuf::MessageLite& message) {
  for (;;) {
    if (context_.IsCancelled()) return false;
    if (!mine_.empty()) return Parse(message);
    bool over = false;
    const bool some = request_.session->Locked([&] {
      over = state_.peer_is_done() || !state_.failure().ok();
      return state_.TakeArrivals(mine_);
    });
    if (some) continue;
    if (over) return false;
    place_.WaitFor(reading_);
  }
}

bool ServerStreamImpl::Parse(google::protobuf::MessageLite& message) {
  const size_t size = mine_.front().size();
  absl::Status parsed = ParseMessage("an element of", request_.method_name(), mine_.front(), message);
  mine_.Pop();
  if (!parsed.ok()) return Fail(std::move(parsed));
  GiveCredit(size);
  return true;
}

void ServerStreamImpl::GiveCredit(size_t element_size) {
  const uint32_t credit = read_.Read(element_size);
  if (credit == 0) return;
  session::ServerSession& session = *request_.session;
  const bool useful = session.Locked([&] {
    state_.OpenWindow(credit);
    return !state_.peer_is_done();
  });
  if (!useful) return;
  wire::FrameHeader header = request_.HeaderOf(wire::FrameKind::kCredit);
  header.message_size = credit;
  session::Outbox& outbox = session.outbox();
  if (!outbox.TrySend(header, 0, [](std::span<std::byte>) {})) {
    auto kept = std::make_unique<session::Outgoing>(header, 0, session.transport().max_frame_size());
    static_cast<void>(outbox.TryCharge(*kept, 0));  // so little is always kept
    outbox.Keep(std::move(kept));
  }
  request_.NoteWritten();
}

// --- who writes ---

bool ServerStreamImpl::Write(const google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  try {
    return WriteNext(message);
  } catch (const std::bad_alloc&) {
    return Fail(base::NoMemory());
  }
}

bool ServerStreamImpl::WriteNext(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  const size_t limit = std::min(core_.options.max_message_size, request_.session->peer_max_message_size());
  if (size > limit) {
    return Fail(absl::ResourceExhaustedError(absl::StrCat("an element of ", request_.method_name(), " has ", size,
                                                          " B, more than max_message_size (", limit, " B)")));
  }
  if (!WaitForCredit(size)) return false;
  return Send(request_.HeaderOf(wire::FrameKind::kMessage), &message, size);
}

bool ServerStreamImpl::WaitForCredit(size_t size) {
  for (;;) {
    if (context_.IsCancelled()) return false;
    bool failed = false;
    const bool begun = request_.session->Locked([&] {
      failed = !state_.failure().ok();
      return !failed && state_.BeginElement(size);
    });
    if (begun || failed) return begun;
    place_.WaitFor(writing_);
  }
}

bool ServerStreamImpl::SendInitialMetadata() {
  if (sent_initial_metadata_) return true;
  // A message without an element.
  wire::FrameHeader header = request_.HeaderOf(wire::FrameKind::kMessage);
  header.flags = wire::kPacked;
  return Send(header, nullptr, 0);
}

bool ServerStreamImpl::Send(const wire::FrameHeader& header, const google::protobuf::MessageLite* message,
                            size_t size) {
  std::string envelope;
  if (!std::exchange(sent_initial_metadata_, true) && !context_.initial_metadata().empty()) {
    if (absl::Status valid = context_.initial_metadata().Validate(); !valid.ok()) {
      return Fail(absl::InternalError(absl::StrCat("the handler's metadata: ", valid.message())));
    }
    absl::StatusOr<std::string> encoded = wire::EncodeMetadataEnvelope(context_.initial_metadata());
    if (!encoded.ok()) return Fail(encoded.status());
    envelope = *std::move(encoded);
  }
  wire::FrameHeader complete = header;
  complete.envelope_size = static_cast<uint32_t>(envelope.size());
  if (!envelope.empty()) complete.flags |= wire::kEnvelope;
  session::ServerSession& session = *request_.session;
  const Written written = WriteMessage(session.outbox(), session.transport().max_frame_size(), complete,
                                       std::as_bytes(std::span(envelope)), message, size, &flow_);
  request_.NoteWritten();
  switch (written) {
    case Written::kAll:
      return true;
    case Written::kChanged:
      return Fail(absl::InternalError("an element changed while it was serialised"));
    case Written::kOverQuota:
      break;
  }
  return Fail(session.account()->MemoryRefusal(size));
}

}  // namespace nearcall::rpc
