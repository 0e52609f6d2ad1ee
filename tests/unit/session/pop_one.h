// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/intrusive_list.h"
#include "session/completion_queue.h"

namespace nearcall::session::testing {

// The first completion of `queue`; nullptr if there is none. `more`: whether there is another one.
inline Completion* PopOne(CompletionQueue& queue, bool* more = nullptr) {
  base::List<Completion> ended;
  bool another;
  Completion* const side = queue.Take(ended, 1, another);
  if (more != nullptr) *more = another;
  return side != nullptr ? side : ended.PopFront();
}

}  // namespace nearcall::session::testing
