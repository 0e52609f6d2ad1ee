// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "index.h"
#include "search.nearcall.pb.h"

namespace search {

inline void FillHit(Index::Hit found, v1::Hit& hit) {
  hit.set_path(std::move(found.path));
  hit.set_line(found.line);
  hit.set_excerpt(std::move(found.excerpt));
  hit.set_matching_lines(found.matching_lines);
  hit.set_score(found.score);
}

}  // namespace search
