// SPDX-License-Identifier: Apache-2.0
#include "session/call_table.h"

#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace nearcall::session {

static_assert(base::kMaxCallsInFlight <= size_t{1} << 16, "a slot fits the low bits of a call id");

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
  Slot& slot = slots_[index];
  call.id = ++count_ << kSlotBits | index;
  slot.call = &call;
  slot.id = call.id;
  call.reply.bytes = std::move(slot.buffer);
}

const ClientCall* CallTable::Find(uint64_t id) const {
  const size_t index = id & ((size_t{1} << kSlotBits) - 1);
  return index < slots_.size() && slots_[index].id == id ? slots_[index].call : nullptr;
}

ClientCall* CallTable::Take(uint64_t id) {
  const size_t index = id & ((size_t{1} << kSlotBits) - 1);
  if (index >= slots_.size() || slots_[index].id != id) return nullptr;
  return std::exchange(slots_[index].call, nullptr);
}

void CallTable::Release(ClientCall& call) {
  const size_t index = call.id & ((size_t{1} << kSlotBits) - 1);
  Slot& slot = slots_[index];
  NEARCALL_CHECK(slot.id == call.id && slot.call == nullptr);
  slot.id = 0;
  slot.buffer = std::move(call.reply.bytes);
  slot.buffer.Trim(kMaxKeptBuffer);
  free_.push_back(index);
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
