// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/client_stream.h"

#include <string>
#include <utility>

#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/client/call_descriptors.h"
#include "rpc/only_one.h"

namespace nearcall::rpc {

using Took = session::StreamingCall::Took;

namespace {

CallOptions WithMetadata(CallOptions options, ResponseMetadata& metadata) {
  options.response_metadata = &metadata;
  return options;
}

}  // namespace

ClientStreamImpl::ClientStreamImpl(const internal::MethodInfo& method, const CallOptions& options,
                                   size_t max_message_size, OpenAnywhere open_anywhere)
    : options_(WithMetadata(options, metadata_)),
      head_(method, options_, max_message_size),
      open_anywhere_(std::move(open_anywhere)),
      attempts_(std::make_unique<StreamAttempts>(
          head_, [this](const std::stop_token& stop) { return open_anywhere_(*attempts_, stop); })) {}

absl::Status ClientStreamImpl::Prepare(const google::protobuf::MessageLite* request) {
  absl::Status prepared = head_.Prepare(request);
  return prepared.ok() ? KeepDescriptors(options_, opening_descriptors_) : prepared;
}

ClientStreamImpl::~ClientStreamImpl() {
  const base::CancelDisabled uncancelled;
  if (fork_guard_.InChild()) {
    // The call, and whatever locks were held, are the parent's.
    static_cast<void>(attempts_.release());
    return;
  }
  if (!opened_ || status_.has_value()) return;
  StreamAttempts::Ptr hold;
  StreamAttempt& attempt = attempts_->Present(hold);
  attempts_->Cancel();
  attempt.call.Fail(absl::CancelledError("the stream was destroyed"));  // waits, if somebody is just ending it
  Close(attempt);
}

absl::Status ClientStreamImpl::OpenFirst(const google::protobuf::MessageLite* request) {
  if (options_.stop_token.stop_possible()) on_stop_.emplace(options_.stop_token, [this] { attempts_->Cancel(); });
  absl::Status opened = attempts_->OpenFirst(request);
  opened_ = opened.ok();
  if (!opened_) on_stop_.reset();
  return opened;
}

// The call has ended.
void ClientStreamImpl::Close(StreamAttempt& attempt) {
  on_stop_.reset();
  mine_.arrivals().Clear();
  attempt.Release();
}

void ClientStreamImpl::Cancel() {
  const base::CancelDisabled uncancelled;
  if (streams()) attempts_->Cancel();
}

// --- who reads ---

bool ClientStreamImpl::Read(google::protobuf::MessageLite& message) {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  if (!streams() || status_.has_value()) return false;
  const bool read = attempts_->Try([&] { return ReadNext(message); });
  if (!read) message.Clear();
  return read;
}

bool ClientStreamImpl::ReadNext(google::protobuf::MessageLite& message) {
  StreamAttempts::Ptr hold;
  for (;;) {
    StreamAttempt& attempt = attempts_->Present(hold);
    if (attempt.EndIfLate()) return false;
    if (!mine_.empty()) return attempt.Read(mine_, message);
    switch (attempt.call.Take(mine_.arrivals())) {
      case Took::kSome:
        attempts_->Settle();
        if (!TakeInitial(attempt)) return false;
        break;
      case Took::kNotYet:
        attempt.call.WaitReadable();
        break;
      case Took::kOver:
        if (!attempts_->FoundAnother(attempt)) return false;
        break;
    }
  }
}

// Once something has come of the server. False: what it sent are no metadata, and the call has ended with that.
bool ClientStreamImpl::TakeInitial(StreamAttempt& attempt) {
  if (has_initial_) return true;
  const std::optional<std::string> envelope = attempt.call.InitialEnvelope();
  if (!envelope.has_value()) return true;
  attempts_->Settle();
  has_initial_ = true;
  absl::StatusOr<Metadata> initial = CallElements::ParseInitial(*envelope);
  if (!initial.ok()) {
    attempt.call.GiveUp(initial.status());
    return false;
  }
  metadata_.initial = *std::move(initial);
  return true;
}

bool ClientStreamImpl::WaitForInitialMetadata() {
  const base::CancelDisabled uncancelled;
  const OnlyOne reader(somebody_reads_);
  if (!streams() || status_.has_value()) return has_initial_;
  return attempts_->Try([&] { return WaitForInitial(); });
}

bool ClientStreamImpl::WaitForInitial() {
  StreamAttempts::Ptr hold;
  for (;;) {
    StreamAttempt& attempt = attempts_->Present(hold);
    const Took took = mine_.empty() ? attempt.call.Take(mine_.arrivals()) : Took::kSome;
    if (took == Took::kSome) attempts_->Settle();
    if (!TakeInitial(attempt)) return false;
    if (has_initial_) return true;
    if (took == Took::kOver) {
      if (attempts_->FoundAnother(attempt)) continue;
      if (!attempts_->why_no_other().ok() || !attempt.call.failure.ok()) return false;
      // The reply alone may have brought them.
      head_.StatusOf(attempt.call.failure, attempt.call.reply).IgnoreError();
      return has_initial_ = true;
    }
    attempt.call.WaitReadable();
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

// Of the last attempt.
StreamAttempt& ClientStreamImpl::WaitForEnd(StreamAttempts::Ptr& hold) {
  for (;;) {
    StreamAttempt& attempt = attempts_->Present(hold);
    attempt.call.Discard(attempt.element, mine_.arrivals());
    // Another thread that is just writing half-closes by itself.
    if (!somebody_writes_.exchange(true, std::memory_order_acquire)) {
      HalfClose();
      somebody_writes_.store(false, std::memory_order_release);
    }
    attempt.call.Drain(attempt.element);
    if (!attempts_->FoundAnother(attempt)) return attempt;
  }
}

absl::Status ClientStreamImpl::End(google::protobuf::MessageLite* reply) {
  StreamAttempts::Ptr hold;
  StreamAttempt& attempt = WaitForEnd(hold);
  attempts_->Settle();
  TakeInitial(attempt);
  Metadata initial = std::move(metadata_.initial);
  absl::Status status = base::OrNoMemory([&] {
    if (!attempts_->why_no_other().ok()) return attempts_->why_no_other();
    absl::Status ended = head_.StatusOf(attempt.call.failure, attempt.call.reply);
    ended.Update(mine_.failure());
    if (ended.ok() && reply != nullptr) ended = head_.Parse(attempt.call.reply, *reply);
    return ended.ok() ? GiveEnclosed(attempt.call.reply, options_) : ended;
  });
  if (has_initial_) metadata_.initial = std::move(initial);
  has_initial_ = true;
  Close(attempt);
  GoesElsewhere(*attempt.session, status);
  return status;
}

// --- who writes ---

bool ClientStreamImpl::Write(const google::protobuf::MessageLite& message, bool last) {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  const std::span<const int> lent = std::exchange(lent_, {});
  const std::vector<Buffer> attach = std::exchange(attach_, {});
  if (!streams() || writes_done_ || !internal::ClientStreams(head_.method().kind)) return false;
  return attempts_->Try([&] { return WriteNow(message, last, lent, attach); });
}

bool ClientStreamImpl::WriteNow(const google::protobuf::MessageLite& message, bool last, std::span<const int> lent,
                                std::span<const Buffer> attach) {
  const size_t size = message.ByteSizeLong();
  StreamAttempts::Ptr hold;
  StreamAttempt& attempt = attempts_->PresentToWrite(hold);
  const absl::StatusOr<Attached> attached = head_.elements().Enclose(size, attach, lent, *attempt.session);
  if (!attached.ok()) {
    attempt.call.GiveUp(attached.status());
    return false;
  }
  if (!attempt.call.BeginElement(size + attached->total(), head_.fail_fast())) return false;
  writes_done_ = last;
  wire::FrameHeader header = attempt.element;
  if (last) header.flags |= wire::kEnd;
  attached->Announce(header, lent);
  return attempt.Send(header, message, size, attached->DescriptorsBeside(lent), *attached);
}

bool ClientStreamImpl::WritesDone() {
  const base::CancelDisabled uncancelled;
  const OnlyOne writer(somebody_writes_);
  return streams() && attempts_->Try([&] { return HalfClose(); });
}

bool ClientStreamImpl::HalfClose() {
  if (writes_done_ || !internal::ClientStreams(head_.method().kind)) return false;
  StreamAttempts::Ptr hold;
  StreamAttempt& attempt = attempts_->PresentToWrite(hold);
  if (attempt.call.ended()) return false;
  writes_done_ = true;
  return attempt.HalfClose();
}

}  // namespace nearcall::rpc
