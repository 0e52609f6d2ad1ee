// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/limits.h"

namespace nearcall::base {

// What a line is about.
enum class LogKind : uint8_t {
  kOwn,         // this process: its start, its end, its limits
  kTurnedAway,  // a client that is not served
  kViolation,
  kConnection,  // a connection that could not be kept: for want of something, or of a sign of life
  kUserCode,    // the user's code has failed: a handler, a callback, a message
};

// How many lines there are is bounded for each topic: a kind, and the user who can cause it.
struct LogTopic {
  LogKind kind = LogKind::kOwn;
  uid_t uid = static_cast<uid_t>(-1);  // nobody else, or not known

  friend bool operator==(const LogTopic&, const LogTopic&) = default;
};

// Counts lines by their topics. Not synchronised.
class LogRates {
 public:
  // Nothing: no more lines of `topic` now. Else how many of them were left out before this one.
  std::optional<uint64_t> TryTake(const LogTopic& topic, SteadyNs now);

 private:
  struct Rate {
    LogTopic topic;
    SteadyNs since = 0;  // a second begins; 0: not in use
    uint32_t lines = 0;
    uint64_t left_out = 0;
  };
  Rate& Of(const LogTopic& topic, SteadyNs now);

  std::array<Rate, kMaxLogTopics> rates_;
  Rate others_;
};

}  // namespace nearcall::base
