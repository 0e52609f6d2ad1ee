// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "session/client_call.h"

namespace nearcall::session {

// The calls in flight of one connection, by call id. An id is a count in its high bits and a slot of the table in its
// low 16: never reused, and found without a search. Exactly-once completion is "who takes the call out of the table may
// complete it".
//
// Not synchronised: the session's lock guards it. A slot also keeps the buffer in which its last reply came, for the
// next.
class CallTable {
 public:
  explicit CallTable(size_t max_calls) : max_calls_(max_calls) {}

  bool full() const { return in_use_ == max_calls_; }
  size_t in_use() const { return in_use_; }

  // Gives `call` an id and a warm buffer. Not when full.
  void Insert(ClientCall& call);

  // nullptr if it has been completed already or never was.
  const ClientCall* Find(uint64_t id) const;

  // Takes the call out: nullptr if it has been completed already or never was. Its slot stays occupied until Release().
  ClientCall* Take(uint64_t id);

  // The owner is done with `call` (which must have been taken out).
  void Release(ClientCall& call);

  // Takes out all calls that are left.
  std::vector<ClientCall*> TakeAll();

 private:
  static constexpr unsigned kSlotBits = 16;
  // A buffer that has held a large reply is not kept.
  static constexpr size_t kMaxKeptBuffer = size_t{64} << 10;

  struct Slot {
    ClientCall* call = nullptr;
    uint64_t id = 0;
    base::Buffer buffer;
  };

  const size_t max_calls_;
  std::vector<Slot> slots_;
  std::vector<size_t> free_;
  size_t in_use_ = 0;
  uint64_t count_ = 0;
};

}  // namespace nearcall::session
