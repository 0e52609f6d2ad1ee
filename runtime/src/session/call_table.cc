// SPDX-License-Identifier: Apache-2.0
#include "session/call_table.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"

namespace nearcall::session {

static_assert(base::kMaxCallsInFlight <= size_t{1} << wire::kSlotBits, "a slot fits the low bits of a call id");

void CallTable::Insert(ClientCall& call) {
  NEARCALL_CHECK(!full());
  if (free_.empty()) {
    // So that Release() needs no memory.
    if (free_.capacity() <= slots_.size()) free_.reserve(2 * slots_.size() + 1);
    slots_.emplace_back();
    free_.push_back(slots_.size() - 1);
  }
  const size_t index = free_.back();
  free_.pop_back();
  ++in_use_;
  ++open_;
  Slot& slot = slots_[index];
  call.id = begun_by_ | ++count_ << wire::kSlotBits | index;
  slot.call = &call;
  slot.id = call.id;
  slot.answered = slot.released = false;
  call.reply.bytes = std::move(slot.buffer);
}

CallTable::Slot* CallTable::Find(uint64_t id) {
  const size_t index = wire::SlotOf(id);
  return index < slots_.size() && slots_[index].id == id ? &slots_[index] : nullptr;
}

ClientCall* CallTable::Call(uint64_t id) {
  Slot* const slot = Find(id);
  return slot == nullptr ? nullptr : slot->call;
}

absl::StatusOr<ClientCall*> CallTable::StreamOf(const wire::FrameHeader& header) {
  ClientCall* const call = Call(header.call_id);
  if (header.kind != wire::FrameKind::kRequest) {
    if (call == nullptr) return call;
    if (call->stream != nullptr && call->method_id == header.method_id) return call;
  }
  return absl::InternalError(absl::StrCat("expected a reply, got a frame of kind ", static_cast<int>(header.kind),
                                          " for call ", header.call_id));
}

ClientCall* CallTable::Take(uint64_t id) {
  Slot* const slot = Find(id);
  return slot == nullptr ? nullptr : std::exchange(slot->call, nullptr);
}

ClientCall* CallTable::TakeAnswered(uint64_t id) {
  Slot* const slot = Find(id);
  if (slot == nullptr || slot->answered) return nullptr;
  slot->answered = true;
  ClientCall* const call = std::exchange(slot->call, nullptr);
  --(slot->released ? given_up_ : open_);
  FreeIfOver(*slot);
  return call;
}

void CallTable::Release(ClientCall& call, base::Buffer& memory) {
  Slot* const slot = Find(call.id);
  NEARCALL_CHECK(slot != nullptr && slot->call == nullptr && !slot->released);
  slot->released = true;
  slot->buffer = std::move(memory);
  slot->buffer.Trim(kMaxKeptBuffer);
  if (!slot->answered) {
    ++given_up_;
    --open_;
  }
  FreeIfOver(*slot);
}

void CallTable::FreeIfOver(Slot& slot) {
  if (!slot.answered || !slot.released) return;
  slot.id = 0;
  free_.push_back(static_cast<size_t>(&slot - slots_.data()));
  --in_use_;
}

std::vector<ClientCall*> CallTable::TakeAll() {
  std::vector<ClientCall*> calls;
  calls.reserve(in_use_);
  for (Slot& slot : slots_) {
    if (slot.call != nullptr) calls.push_back(std::exchange(slot.call, nullptr));
  }
  return calls;
}

}  // namespace nearcall::session
