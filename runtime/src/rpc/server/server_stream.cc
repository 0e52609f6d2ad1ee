// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_stream.h"

#include <utility>

#include "base/check.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/only_one.h"
#include "rpc/server/handler_place.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"

namespace nearcall::rpc {

using internal::Tried;

ServerStreamImpl::ServerStreamImpl(ServerCore& core, const Request& request, ServerContext& context, CallTally& tally,
                                   HandlerPlace& place)
    : request_(request),
      context_(context),
      place_(place),
      reading_(place.call, place.places(), request.suspends()),
      writing_(place.call, place.places(), request.suspends()),
      state_({.peer_is_caller = true,
              .peer_streams = internal::ClientStreams(request.kind()),
              .send_window = request.session->client().send_window(),
              .receive_window = static_cast<uint32_t>(core.options.stream_window_bytes)},
             reading_.waiting(), writing_.waiting()),
      stream_{
          .core = core, .request = request, .context = context, .tally = tally, .state = state_, .has_news = has_news_},
      reader_(stream_),
      writer_(stream_),
      claim_(core) {}

absl::Status ServerStreamImpl::Failure() {
  return request_.session->calls().Locked([this] { return state_.failure(); });
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
  while ((tried = reader_.Read(message)) == Tried::kNotYet) place_.WaitFor(reading_.waiting());
  return tried == Tried::kDone;
}

Tried ServerStreamImpl::TryRead(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  return reader_.Read(message);
}

// --- who writes ---

bool ServerStreamImpl::Write(const google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  Tried tried;
  while ((tried = writer_.Write(message)) == Tried::kNotYet) place_.WaitFor(writing_.waiting());
  writer_.Lend({});
  writer_.DropAttachments();
  return tried == Tried::kDone;
}

Tried ServerStreamImpl::TryWrite(const google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  const Tried tried = writer_.Write(message);
  writer_.Lend({});
  if (tried != Tried::kNotYet) writer_.DropAttachments();
  return tried;
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
  if (!WatchDeadline() || reader_.has_some()) return false;
  return request_.session->calls().Locked([&] {
    if (context_.IsCancelled() || !state_.failure().ok()) return false;
    if (state_.has_arrivals() || state_.peer_is_done() || has_news_) return false;
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
        request_.deadline, [this] { request_.session->calls().Locked([this] { state_.Wake(); }); },
        stream_.core.reactor());
  });
  if (!timer.ok()) return stream_.Fail(timer.status());
  at_deadline_ = *std::move(timer);
  return true;
}

}  // namespace nearcall::rpc
