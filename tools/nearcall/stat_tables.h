// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "nearcall/stats/v1/stats.pb.h"
#include "table.h"

namespace nearcall::tools {

// One server, of `nearcall stat`: how it is, its methods, connections and users. `before`: what it had told earlier, or
// empty: then rates are those since its start.
std::string StatText(const std::string& address, const stats::v1::GetResponse& before,
                     const stats::v1::GetResponse& now, const Look& look);

// One of all servers, of `nearcall stat` without an address.
struct StatRow {
  std::string address;
  stats::v1::GetResponse before;
  stats::v1::GetResponse now;
  std::string state;  // why it has not answered; empty: it has
};
std::string StatText(std::span<const StatRow> rows, const Look& look);

}  // namespace nearcall::tools
