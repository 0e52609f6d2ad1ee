// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/stream_attempts.h"

#include <span>
#include <string>
#include <utility>

#include "base/exec_state.h"
#include "base/no_memory.h"
#include "rpc/parse_message.h"
#include "rpc/protobuf_log.h"

namespace nearcall::rpc {

namespace {

// An opening up to this size is kept until the server has answered something. gRPC keeps as much of a call.
constexpr size_t kMaxKeptOpening = size_t{256} << 10;

}  // namespace

absl::Status StreamAttempts::OpenFirst(const google::protobuf::MessageLite* request) {
  request_ = request;
  absl::Status opened = open_anywhere_(head_.options().stop_token);
  request_ = nullptr;
  if (opened.ok() && request != nullptr && !Keep(*request)) Settle();
  return opened;
}

// False: it cannot be sent again.
bool StreamAttempts::Keep(const google::protobuf::MessageLite& request) {
  if (head_.size() > kMaxKeptOpening) return false;
  const absl::Status kept = base::OrNoMemory([&] {
    kept_request_.reset(request.New());
    // By its bytes: CheckTypeAndMergeFrom() ends a program that was compiled without RTTI. (What protobuf has to say of
    // them it has said.)
    const ProtobufLog log;
    const std::string bytes = request.SerializePartialAsString();
    if (head_.method().generic) TakeBytes(std::as_bytes(std::span(bytes)), *kept_request_);
    const bool copied = head_.method().generic || kept_request_->ParsePartialFromString(bytes);
    return copied ? absl::OkStatus() : absl::InternalError("the request changed while it was copied");
  });
  // It also caches the sizes. (Another one: a thread of the user's has changed it meanwhile.)
  return kept.ok() && head_.envelope().size() + kept_request_->ByteSizeLong() == head_.size();
}

absl::Status StreamAttempts::Open(const std::shared_ptr<session::ClientSession>& session) {
  if (absl::Status status = head_.FitTo(*session); !status.ok()) return status;
  const auto attempt = std::make_shared<StreamAttempt>(session, head_);
  Ptr former;  // given up without the lock
  bool cancelled;
  {
    base::MutexLock lock(mutex_);
    former = std::exchange(begun_, attempt);
    cancelled = cancelled_;
  }
  if (cancelled) session->Cancel(attempt->call);
  absl::Status begun = attempt->Begin(request_);
  if (!begun.ok()) return begun;
  base::MutexLock lock(mutex_);
  former = std::exchange(present_, attempt);
  return begun;
}

StreamAttempt& StreamAttempts::Present(Ptr& hold) {
  if (settled_.load(std::memory_order_acquire)) return *present_;
  Ptr present;  // the former one is given up without the lock
  {
    base::MutexLock lock(mutex_);
    while (opening_) opened_.Wait(mutex_);
    present = present_;
  }
  hold = std::move(present);
  return *hold;
}

StreamAttempt& StreamAttempts::PresentToWrite(Ptr& hold) {
  for (;;) {
    StreamAttempt& attempt = Present(hold);
    if (settled_.load(std::memory_order_acquire)) return attempt;
    attempt.call.Look();
    if (attempt.call.ended() && FoundAnother(attempt)) continue;
    base::MutexLock lock(mutex_);
    if (opening_ || present_.get() != &attempt) continue;
    settled_.store(true, std::memory_order_release);
    return attempt;
  }
}

void StreamAttempts::Settle() {
  if (settled_.load(std::memory_order_acquire)) return;
  {
    base::MutexLock lock(mutex_);
    while (opening_) opened_.Wait(mutex_);
    settled_.store(true, std::memory_order_release);
  }
  kept_request_.reset();
}

bool StreamAttempts::FoundAnother(const StreamAttempt& ended) {
  if (settled_.load(std::memory_order_acquire)) return false;
  std::stop_token stop;
  {
    base::MutexLock lock(mutex_);
    while (opening_) opened_.Wait(mutex_);
    if (present_.get() != &ended) return true;
    // SUBTLE: under the lock. Once it is settled its reply is somebody's who may give it up.
    if (settled_.load(std::memory_order_relaxed) || !ended.GoesElsewhere()) return false;
    if (cancelled_) {
      why_no_other_ =
          base::WithExecState(absl::CancelledError("the call was cancelled by its caller"), ExecState::kNotSent);
      settled_.store(true, std::memory_order_release);
      return false;
    }
    opening_ = true;
    stop_opening_ = std::stop_source();
    stop = stop_opening_.get_token();
  }
  request_ = kept_request_.get();
  absl::Status opened = base::OrNoMemory([&] { return open_anywhere_(stop); });
  const bool found = opened.ok();
  base::MutexLock lock(mutex_);
  if (!found) {
    why_no_other_ = std::move(opened);
    settled_.store(true, std::memory_order_release);
  }
  opening_ = false;
  opened_.NotifyAll();
  return found;
}

void StreamAttempts::EndForWantOfMemory() {
  Ptr hold;
  Present(hold).call.GiveUp(base::NoMemory());
}

void StreamAttempts::Cancel() {
  Ptr begun;
  std::stop_source stop_opening(std::nostopstate);
  {
    base::MutexLock lock(mutex_);
    cancelled_ = true;
    begun = begun_;
    stop_opening = stop_opening_;
  }
  if (begun != nullptr) begun->session->Cancel(begun->call);
  stop_opening.request_stop();
}

}  // namespace nearcall::rpc
