// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "session/client_call.h"
#include "wire/header.h"

namespace nearcall::session {

// The calls in flight of one connection, by call id. An id is a count in its high bits and a slot of the table in its
// low 16: never reused, and found without a search. Exactly-once completion is "who takes the call out of the table may
// complete it".
//
// A slot is taken until its call's owner is done with it *and* the reply has come: the other side has such a table too,
// and a call that was given up here may still run there.
//
// Not synchronised: the session's lock guards it. A slot also keeps a buffer that has held a reply, for the next one.
class CallTable {
 public:
  // `begun_by`: a bit that all ids have (wire::kBegunByAcceptor), or 0.
  explicit CallTable(size_t max_calls, uint64_t begun_by = 0) : max_calls_(max_calls), begun_by_(begun_by) {}

  bool full() const { return in_use_ == max_calls_; }
  size_t in_use() const { return in_use_; }
  // Of those, the calls whose owners are done with them.
  size_t given_up() const { return given_up_; }
  // And those whose reply is still waited for.
  size_t open() const { return open_; }

  // Gives `call` an id and a warm buffer. Not when full.
  void Insert(ClientCall& call);

  // nullptr if it has been completed already or never was.
  ClientCall* Call(uint64_t id);

  // The call that `header`, of no reply, is for, if it streams: nullptr if it has ended. INTERNAL: it must not come.
  absl::StatusOr<ClientCall*> StreamOf(const wire::FrameHeader& header);

  // Takes the call out: nullptr if it has been completed already or never was. Its slot stays taken.
  ClientCall* Take(uint64_t id);

  // The same when its reply has come, or when none will because nothing of its request was sent.
  ClientCall* TakeAnswered(uint64_t id);

  // The owner is done with `call` (which must have been taken out). Its slot takes `memory`.
  void Release(ClientCall& call, base::Buffer& memory);

  // Takes out all calls that are left.
  std::vector<ClientCall*> TakeAll();

 private:
  // A buffer that has held a large reply is not kept.
  static constexpr size_t kMaxKeptBuffer = size_t{64} << 10;

  struct Slot {
    ClientCall* call = nullptr;
    uint64_t id = 0;  // 0: free
    bool answered = false;
    bool released = false;
    base::Buffer buffer;
  };

  Slot* Find(uint64_t id);
  void FreeIfOver(Slot& slot);

  const size_t max_calls_;
  const uint64_t begun_by_;
  std::vector<Slot> slots_;
  std::vector<size_t> free_;
  size_t in_use_ = 0;
  size_t given_up_ = 0;
  size_t open_ = 0;
  uint64_t count_ = 0;
};

}  // namespace nearcall::session
