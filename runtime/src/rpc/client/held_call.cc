// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/held_call.h"

#include <new>

#include "absl/status/statusor.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/client/call_head.h"

namespace nearcall::rpc {

using internal::Tried;

HeldCall::~HeldCall() {
  const base::CancelDisabled uncancelled;
  if (InChild()) {
    // The call, and whatever locks were held, are the parent's.
    static_cast<void>(new auto(std::move(open_)));
    static_cast<void>(new auto(std::move(call_)));
    return;
  }
  call_->Cancel();
}

void HeldCall::Cancel() {
  const base::CancelDisabled uncancelled;
  if (!InChild()) call_->Cancel();
}

// SUBTLE: what runs the operation may destroy this before When() has returned.
bool HeldCall::When(Side& side, internal::Operation& operation) {
  const std::shared_ptr<OpenCall> call = call_;
  return side.When(operation);
}

void HeldCall::Withdraw(internal::Operation& operation) {
  call_->reading().Withdraw(operation);
  if (stream_ != nullptr) stream_->writing().Withdraw(operation);
}

// --- who reads ---

Tried HeldCall::Look() {
  if (!mine_.empty() && !open_->stream.given_up()) return Tried::kDone;
  call_->reading().ForgetNews();
  if (stream_ == nullptr) return call_->ended() ? Tried::kOver : Tried::kNotYet;
  return stream_->Look(open_, mine_.arrivals(), has_initial_ ? nullptr : &initial_envelope_);
}

Tried HeldCall::TryRead(google::protobuf::MessageLite& element) {
  const base::CancelDisabled uncancelled;
  if (InChild()) return Tried::kOver;
  Tried looked = Look();
  if (looked == Tried::kDone) {
    absl::Status read = base::OrNoMemory([&] { return Read(element); });
    if (read.ok()) return Tried::kDone;
    stream_->GiveUp(*open_->session, std::move(read));
    looked = Tried::kOver;
  }
  if (looked == Tried::kOver) element.Clear();
  return looked;
}

absl::Status HeldCall::Read(google::protobuf::MessageLite& element) {
  if (absl::Status initial = TakeInitial(); !initial.ok()) return initial;
  size_t cost;
  absl::Status parsed = mine_.Next([&](auto bytes) { return call_->request().elements().Parse(bytes, element); }, cost);
  if (parsed.ok()) stream_->GiveCredit(*open_, cost);
  return parsed;
}

// Once something has come of the server. Not OK: what it sent are no metadata, with which the call is to end.
absl::Status HeldCall::TakeInitial() {
  if (has_initial_ || !initial_envelope_.has_value()) return absl::OkStatus();
  absl::StatusOr<Metadata> initial = CallElements::ParseInitial(*std::exchange(initial_envelope_, std::nullopt));
  if (!initial.ok()) return initial.status();
  metadata_.initial = *std::move(initial);
  has_initial_ = true;
  return absl::OkStatus();
}

Tried HeldCall::TryInitialMetadata() {
  const base::CancelDisabled uncancelled;
  if (InChild()) return Tried::kOver;
  if (has_initial_) return Tried::kDone;
  const Tried looked = Look();
  if (absl::Status initial = base::OrNoMemory([&] { return TakeInitial(); }); !initial.ok()) {
    stream_->GiveUp(*open_->session, std::move(initial));
    return Tried::kOver;
  }
  if (has_initial_) return Tried::kDone;
  if (!call_->ended()) return looked;
  if (!call_->failure.ok()) return Tried::kOver;
  // The reply alone may have brought them.
  metadata_.initial = call_->last_metadata().initial;
  has_initial_ = true;
  return Tried::kDone;
}

Tried HeldCall::TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) {
  const base::CancelDisabled uncancelled;
  if (InChild()) {
    status = absl::FailedPreconditionError("the call was made before fork(); a child must make calls of its own");
    return Tried::kDone;
  }
  if (!status_.has_value()) {
    if (stream_ != nullptr) stream_->WritesDone();
    Tried looked;
    while ((looked = Look()) == Tried::kDone) Discard();
    if (looked == Tried::kNotYet || !call_->ended()) return Tried::kNotYet;
    status_ = base::OrNoMemory([&] { return End(reply); });
  }
  status = *status_;
  return Tried::kDone;
}

// What was taken is not read, but its credit is given: else the server waits for it until the deadline.
void HeldCall::Discard() try {
  session::Arrivals& unread = mine_.arrivals();
  for (; !unread.empty(); unread.Pop()) stream_->GiveCredit(*open_, unread.front_cost());
} catch (const std::bad_alloc&) {
  mine_.arrivals().Clear();
  stream_->GiveUp(*open_->session, base::NoMemory());
}

absl::Status HeldCall::End(google::protobuf::MessageLite* reply) {
  TakeInitial().IgnoreError();  // the call has ended otherwise
  ResponseMetadata& last = call_->last_metadata();
  if (!has_initial_) metadata_.initial = std::move(last.initial);
  has_initial_ = true;
  metadata_.trailing = std::move(last.trailing);
  absl::Status ended = call_->TakeReply(reply);
  ended.Update(mine_.failure());
  return ended;
}

// --- who writes ---

Tried HeldCall::TryWrite(const google::protobuf::MessageLite& element, bool last) {
  const base::CancelDisabled uncancelled;
  const std::span<const int> lent = std::exchange(lent_, {});
  if (InChild() || stream_ == nullptr) return Tried::kOver;
  const Tried tried = stream_->TryWrite(element, last, lent, attach_);
  if (tried != Tried::kNotYet) attach_.clear();
  return tried;
}

bool HeldCall::WritesDone() {
  const base::CancelDisabled uncancelled;
  return !InChild() && stream_ != nullptr && stream_->WritesDone();
}

}  // namespace nearcall::rpc
