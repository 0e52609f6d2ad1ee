// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "transport/control.h"

namespace nearcall::session {

// What a client's pings have told it of its server: whether it lives, and whether its handlers begin and end. Whatever
// a pong says is good for a text only. Used under its owner's lock.
class Pulse {
 public:
  // The number of a ping that is sent now. It takes the place of one that was not answered.
  uint64_t Ping(base::SteadyNs now);

  // False: there is no ping that it could answer.
  bool Take(const transport::ControlMessage& pong, base::SteadyNs now);

  bool waits() const { return unanswered_since_ != 0; }

  // For the text of a call that began at `since` and got no answer: how its server is. Empty: that is not known.
  std::string Told(base::SteadyNs since, base::SteadyNs now) const;

 private:
  uint64_t sent_ = 0;
  base::SteadyNs unanswered_since_ = 0;  // 0: the last one was answered
  base::SteadyNs answered_at_ = 0;       // 0: none was
  std::optional<transport::Progress> progress_;
  base::SteadyNs progress_since_ = 0;  // when it was first said
};

}  // namespace nearcall::session
