// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "base/intrusive_list.h"
#include "base/limits.h"
#include "session/call_table.h"
#include "session/outbox.h"
#include "session/reader_role.h"
#include "session/server_name.h"
#include "session/waiting.h"

namespace nearcall::session {

// Who may begin a call: nobody while all slots of the call table are taken, or too many bytes wait for room; and then
// the line of those who wait for that. The highest lane is first, and in it who came first: a newcomer does not
// overtake those of his lane, or of a higher one.
//
// Not synchronised: the session's lock guards it.
class SlotLine {
 public:
  SlotLine(const CallTable& calls, const Outbox& outbox, size_t max_queued_bytes)
      : calls_(calls), outbox_(outbox), max_queued_bytes_(max_queued_bytes) {}

  // Whether `waiting` may begin a call of `lane` now.
  bool IsNext(const Waiting& waiting, size_t lane);

  // To the end of the lane's line, if he does not stand in it.
  void Stand(Waiting& waiting, size_t lane);
  static void Leave(Waiting& waiting);

  // Who is to be told that he may begin: nullptr if nobody waits, or may.
  Waiting* Next();
  // By `role`: he is; or all are.
  void TellNext(ReaderRole& role);
  void TellAll(ReaderRole& role);

  std::string WhyFull(const ServerName& server) const;

 private:
  bool has_room_for_bytes() const { return outbox_.held().all() <= max_queued_bytes_; }
  bool full() const { return calls_.full() || !has_room_for_bytes(); }

  const CallTable& calls_;
  const Outbox& outbox_;
  const size_t max_queued_bytes_;
  std::array<base::List<Waiting, WaitsInLine>, base::kLanes> lanes_;
};

}  // namespace nearcall::session
