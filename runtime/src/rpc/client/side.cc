// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/side.h"

#include "session/completion_queue.h"

namespace nearcall::rpc {

void Side::OnNews() {
  call_.completions->Push(*this);
}

}  // namespace nearcall::rpc
