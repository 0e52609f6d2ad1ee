// SPDX-License-Identifier: Apache-2.0
#include "session/client_call.h"

#include "session/completion_queue.h"

namespace nearcall::session {

void ClientCall::Complete() {
  if (completions != nullptr) {
    completions->Push(*this);
  } else {
    // The reader last: he may give the call up then.
    if (stream != nullptr) stream->writing().waiter.Finish();
    waiting->waiter.Finish();
  }
}

}  // namespace nearcall::session
