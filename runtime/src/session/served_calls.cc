// SPDX-License-Identifier: Apache-2.0
#include "session/served_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "wire/header.h"

namespace nearcall::session {

absl::Status ServedCalls::Add(ActiveCall& call) {
  base::MutexLock lock(mutex_);
  if (absl::Status violation = TakeSlot(call); !violation.ok()) return violation;
  calls_.PushBack(call);
  ++count_;
  if (call.stream() != nullptr) ++streams_;
  if (all_cancelled_ && (one_way_too_ || !call.one_way())) call.MarkCancelled();
  return absl::OkStatus();
}

absl::Status ServedCalls::TakeSlot(ActiveCall& call) {
  Slot* const slot = SlotOf(call.call_id());
  if (slot == nullptr) {
    return absl::InternalError(absl::StrCat("call ", call.call_id(), " has slot ", wire::SlotOf(call.call_id()),
                                            ", where ", max_calls_, " slots were granted"));
  }
  if (slot->call != nullptr && !slot->call->slot_is_free()) {
    return absl::InternalError(absl::StrCat("call ", call.call_id(), " begins in the slot of call ",
                                            slot->call->call_id(), ", which has not been answered"));
  }
  slot->call = &call;
  if (std::exchange(slot->early_cancel, 0) == call.call_id()) call.MarkCancelled();
  return absl::OkStatus();
}

// nullptr: the client has none of that number.
ServedCalls::Slot* ServedCalls::SlotOf(uint64_t call_id) {
  const size_t index = wire::SlotOf(call_id);
  if (index >= max_calls_) return nullptr;
  if (index >= slots_.size()) slots_.resize(index + 1);
  return &slots_[index];
}

void ServedCalls::Remove(ActiveCall& call) {
  {
    base::MutexLock lock(mutex_);
    call.Unlink();
    --count_;
    if (call.stream() != nullptr) --streams_;
    Slot& slot = slots_[wire::SlotOf(call.call_id())];
    if (slot.call == &call) slot.call = nullptr;
  }
  if (on_removed_) on_removed_();
}

absl::Status ServedCalls::Deliver(Inbox::Event event, wire::Message& message, WhyDropped why_dropped) {
  const wire::FrameHeader& header = message.header;
  const auto violation = [&](absl::string_view what) {
    return absl::InternalError(absl::StrCat("expected a request, got a frame of kind ", static_cast<int>(header.kind),
                                            " for call ", header.call_id, what));
  };
  if (header.kind == wire::FrameKind::kReply) return violation("");
  base::MutexLock lock(mutex_);
  Slot* const slot = SlotOf(header.call_id);
  if (slot == nullptr) return violation(", whose slot was not granted");
  ActiveCall* const call = slot->call;
  if (call == nullptr || call->call_id() != header.call_id || call->slot_is_free()) return absl::OkStatus();
  if (call->method_id() != header.method_id) return violation(", of another method");
  if (call->stream() == nullptr) return violation(", which does not stream");
  if (event == Inbox::Event::kMessage) return call->stream()->Take(message);
  // Who gives an element up has given the call up.
  if (event == Inbox::Event::kAborted) return absl::OkStatus();
  call->stream()->Fail(why_dropped(event, header.message_size));
  call->MarkCancelled();
  return absl::OkStatus();
}

void ServedCalls::Cancel(uint64_t call_id) {
  base::MutexLock lock(mutex_);
  Slot* const slot = SlotOf(call_id);
  if (slot == nullptr) return;  // none that it could begin
  if (slot->call != nullptr && slot->call->call_id() == call_id) {
    slot->call->MarkCancelled();
  } else {
    // Its request may still stand in the transport. (Or it has been answered already.)
    slot->early_cancel = std::max(slot->early_cancel, call_id);  // ids of a slot grow
  }
}

void ServedCalls::CancelAll(bool one_way_too) {
  base::MutexLock lock(mutex_);
  all_cancelled_ = true;
  one_way_too_ = one_way_too_ || one_way_too;
  calls_.ForEachUntil([one_way_too](ActiveCall& call) {
    if (one_way_too || !call.one_way()) call.MarkCancelled();
    return false;
  });
}

void ServedCalls::FailStandard(absl::string_view why) {
  base::MutexLock lock(mutex_);
  calls_.ForEachUntil([&why](ActiveCall& call) {
    if (call.is_standard() && call.stream() != nullptr) {
      // A status of its own for each: they are on different threads.
      base::UntilThereIsMemory([&] { call.stream()->Fail(absl::UnavailableError(why)); });
    }
    return false;
  });
}

size_t ServedCalls::count() {
  base::MutexLock lock(mutex_);
  return count_;
}

size_t ServedCalls::streams() {
  base::MutexLock lock(mutex_);
  return streams_;
}

}  // namespace nearcall::session
