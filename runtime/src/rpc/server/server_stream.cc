// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_stream.h"

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/message_writer.h"
#include "rpc/only_one.h"
#include "rpc/parse_message.h"
#include "rpc/server/call_counts.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

using internal::Tried;

ServerStreamImpl::ServerStreamImpl(ServerCore& core, const Request& request, ServerContext& context, CallTally& tally,
                                   HandlerPlace& place)
    : core_(core),
      request_(request),
      context_(context),
      tally_(tally),
      place_(place),
      reading_(place.call, place.places(), request.suspends()),
      writing_(place.call, place.places(), request.suspends()),
      state_({.peer_is_caller = true,
              .peer_streams = internal::ClientStreams(request.kind()),
              .send_window = request.session->client().send_window(),
              .receive_window = static_cast<uint32_t>(core.options.stream_window_bytes)},
             reading_.waiting(), writing_.waiting()),
      claim_(core),
      read_(static_cast<uint32_t>(core.options.stream_window_bytes)) {}

absl::Status ServerStreamImpl::Failure() {
  return request_.session->calls().Locked([this] { return state_.failure(); });
}

// Always false.
bool ServerStreamImpl::Fail(absl::Status why) {
  request_.session->calls().Locked([&] { state_.Fail(std::move(why)); });
  return false;
}

void ServerStreamImpl::End() {
  if (!request_.suspends()) return;
  const bool answered_while_its_handler_waits_for_the_stream =
      request_.session->calls().Locked([this] { return reading_.somebody_waits() || writing_.somebody_waits(); });
  NEARCALL_CHECK(!answered_while_its_handler_waits_for_the_stream);
}

// --- who reads ---

bool ServerStreamImpl::Read(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  Tried tried;
  while ((tried = ReadNow(message)) == Tried::kNotYet) place_.WaitFor(reading_.waiting());
  return tried == Tried::kDone;
}

Tried ServerStreamImpl::TryRead(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  return ReadNow(message);
}

Tried ServerStreamImpl::ReadNow(google::protobuf::MessageLite& message) {
  Tried tried = Tried::kOver;
  try {
    tried = ReadNext(message);
  } catch (const std::bad_alloc&) {
    Fail(base::NoMemory());
  }
  if (tried == Tried::kOver) message.Clear();
  return tried;
}

Tried ServerStreamImpl::ReadNext(google::protobuf::MessageLite& message) {
  if (context_.IsCancelled()) return Tried::kOver;
  if (mine_.empty()) {
    bool over = false;
    const bool some = request_.session->calls().Locked([&] {
      over = state_.peer_is_done() || !state_.failure().ok();
      return state_.TakeArrivals(mine_);
    });
    if (!some) return over ? Tried::kOver : Tried::kNotYet;
  }
  return Parse(message) ? Tried::kDone : Tried::kOver;
}

bool ServerStreamImpl::Parse(google::protobuf::MessageLite& message) {
  const size_t size = mine_.front().size();
  absl::Status parsed =
      ReadMessage("an element of", request_.method_name(), request_.generic(), mine_.front(), message);
  descriptors_ = mine_.TakeDescriptors();
  parsed.Update(descriptors_.refusal());
  mine_.Pop();
  if (!parsed.ok()) return Fail(std::move(parsed));
  tally_.NoteElementRead(size);
  elements_read_.Add();
  GiveCredit(size);
  return true;
}

void ServerStreamImpl::GiveCredit(size_t element_size) {
  const uint32_t credit = read_.Read(element_size);
  if (credit == 0) return;
  session::ServerSession& session = *request_.session;
  const bool useful = session.calls().Locked([&] {
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
  Tried tried;
  while ((tried = WriteNow(message)) == Tried::kNotYet) place_.WaitFor(writing_.waiting());
  lent_ = {};
  return tried == Tried::kDone;
}

Tried ServerStreamImpl::TryWrite(const google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  const Tried tried = WriteNow(message);
  lent_ = {};
  return tried;
}

Tried ServerStreamImpl::WriteNow(const google::protobuf::MessageLite& message) {
  try {
    return WriteNext(message);
  } catch (const std::bad_alloc&) {
    Fail(base::NoMemory());
    return Tried::kOver;
  }
}

absl::Status ServerStreamImpl::CheckElement(size_t size, std::span<const int> descriptors) const {
  const size_t limit = std::min(core_.options.max_message_size, request_.session->client().max_message_size());
  if (size > limit) {
    return absl::ResourceExhaustedError(absl::StrCat("an element of ", request_.method_name(), " has ", size,
                                                     " B, more than max_message_size (", limit, " B)"));
  }
  if (descriptors.empty()) return absl::OkStatus();
  absl::Status checked = request_.MaySend(descriptors.size(), "element");
  return checked.ok() ? base::CheckDescriptors(descriptors, "the descriptors of an element") : checked;
}

Tried ServerStreamImpl::WriteNext(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  const std::span<const int> lent = lent_;
  if (absl::Status checked = CheckElement(size, lent); !checked.ok()) {
    Fail(std::move(checked));
    return Tried::kOver;
  }
  if (context_.IsCancelled()) return Tried::kOver;
  bool failed = false;
  const bool begun = request_.session->calls().Locked([&] {
    failed = !state_.failure().ok();
    return !failed && state_.BeginElement(size);
  });
  if (!begun) return failed ? Tried::kOver : Tried::kNotYet;
  wire::FrameHeader header = request_.HeaderOf(wire::FrameKind::kMessage);
  header.fd_count = static_cast<uint8_t>(lent.size());
  if (!Send(header, &message, size, lent)) return Tried::kOver;
  elements_written_.Add();
  return Tried::kDone;
}

bool ServerStreamImpl::SendInitialMetadata() {
  if (sent_initial_metadata_) return true;
  // A message without an element.
  wire::FrameHeader header = request_.HeaderOf(wire::FrameKind::kMessage);
  header.flags = wire::kPacked;
  return Send(header, nullptr, 0);
}

bool ServerStreamImpl::Send(const wire::FrameHeader& header, const google::protobuf::MessageLite* message, size_t size,
                            std::span<const int> descriptors) {
  session::ServerSession& session = *request_.session;
  auto kept = base::Descriptors::Duplicate(descriptors, descriptors.empty() ? nullptr : session.side().budget());
  if (!kept.ok()) return Fail(kept.status());
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
  const Written written =
      WriteMessage(session.outbox(), session.transport().max_frame_size(), complete, std::as_bytes(std::span(envelope)),
                   message, size, &flow_, Shared(*std::move(kept)));
  request_.NoteWritten();
  switch (written) {
    case Written::kAll:
      if (message != nullptr) tally_.NoteElementWritten(size);
      return true;
    case Written::kChanged:
      return Fail(absl::InternalError("an element changed while it was serialised"));
    case Written::kOverQuota:
      break;
  }
  return Fail(session.client().account()->MemoryRefusal(size));
}

// --- who waits for news of the program's own ---

void ServerStreamImpl::TellNews() {
  request_.session->calls().Locked([this] {
    has_news_ = true;
    reading_.waiting().Poke();
  });
}

Tried ServerStreamImpl::TryNews() {
  if (context_.IsCancelled()) return Tried::kOver;
  return request_.session->calls().Locked([this] {
    if (!state_.failure().ok()) return Tried::kOver;
    return std::exchange(has_news_, false) ? Tried::kDone : Tried::kNotYet;
  });
}

bool ServerStreamImpl::WaitForNews() {
  const base::CancelDisabled uncancelled;
  Tried tried;
  while ((tried = TryNews()) == Tried::kNotYet) place_.WaitFor(reading_.waiting());
  return tried == Tried::kDone;
}

bool ServerStreamImpl::WhenNews(internal::Operation& operation) {
  if (!WatchDeadline()) return false;
  return request_.session->calls().Locked([&] {
    if (context_.IsCancelled() || !state_.failure().ok() || has_news_) return false;
    reading_.Leave(operation);
    return true;
  });
}

// --- who is suspended ---

// SUBTLE: what ends the call is looked for under the lock under which it tells those who wait.
bool ServerStreamImpl::WhenReadable(internal::Operation& operation) {
  if (!WatchDeadline() || !mine_.empty()) return false;
  return request_.session->calls().Locked([&] {
    if (context_.IsCancelled() || !state_.failure().ok()) return false;
    if (state_.has_arrivals() || state_.peer_is_done()) return false;
    reading_.Leave(operation);
    return true;
  });
}

bool ServerStreamImpl::WhenWritable(internal::Operation& operation) {
  if (!WatchDeadline()) return false;
  return request_.session->calls().Locked([&] {
    if (context_.IsCancelled() || !state_.failure().ok() || state_.may_write()) return false;
    writing_.Leave(operation);
    return true;
  });
}

void ServerStreamImpl::Withdraw(internal::Operation& operation) {
  request_.session->calls().Locked([&] {
    reading_.Withdraw(operation);
    writing_.Withdraw(operation);
  });
}

// False: that is not possible, and the stream has failed.
bool ServerStreamImpl::WatchDeadline() {
  if (request_.deadline == base::kNever || watches_deadline_.exchange(true, std::memory_order_relaxed)) return true;
  auto timer = base::OrNoMemory([this] {
    return transport::StartTimer(
        request_.deadline, [this] { request_.session->calls().Locked([this] { state_.Wake(); }); }, core_.reactor());
  });
  if (!timer.ok()) return Fail(timer.status());
  at_deadline_ = *std::move(timer);
  return true;
}

}  // namespace nearcall::rpc
