// SPDX-License-Identifier: Apache-2.0
#include "base/log_rates.h"

#include <algorithm>
#include <utility>

namespace nearcall::base {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

}  // namespace

std::optional<uint64_t> LogRates::TryTake(const LogTopic& topic, SteadyNs now) {
  Rate& rate = Of(topic, now);
  if (rate.since == 0 || now - rate.since >= kSecondNs) {
    rate.since = now;
    rate.lines = 0;
  }
  if (rate.lines >= kMaxLogLinesPerSecond) {
    ++rate.left_out;
    return std::nullopt;
  }
  ++rate.lines;
  return std::exchange(rate.left_out, 0);
}

// A topic without a place takes that of one whose second is over. (What was left out of that one is told with the
// others.)
LogRates::Rate& LogRates::Of(const LogTopic& topic, SteadyNs now) {
  const auto known = std::find_if(rates_.begin(), rates_.end(),
                                  [&](const Rate& rate) { return rate.since != 0 && rate.topic == topic; });
  if (known != rates_.end()) return *known;
  const auto place = std::find_if(rates_.begin(), rates_.end(),
                                  [now](const Rate& rate) { return rate.since == 0 || now - rate.since >= kSecondNs; });
  if (place == rates_.end()) return others_;
  others_.left_out += place->left_out;
  *place = {.topic = topic};
  return *place;
}

}  // namespace nearcall::base
