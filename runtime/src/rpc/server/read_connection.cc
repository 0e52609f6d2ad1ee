// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/read_connection.h"

namespace nearcall::rpc {

bool ReadConnection::has_left() const {
  if (!leaving || queue.turns() != 0) return false;
  if (session->end().hung_up() || frames_left == 0) return true;
  size_t size;
  return session->transport().Peek(size) == transport::Transport::ReadState::kEmpty;
}

bool ReadConnection::leaves_replies_lying() const {
  const size_t kept = session->outbox().held().cost();
  const base::Account* account = session->client().account();
  return kept > base::kHeldBackPause || (kept != 0 && account != nullptr && account->memory.exhausted());
}

bool ReadConnection::may_be_read(size_t max_queued_bytes) const {
  return frames_left != 0 && queue.bytes() <= max_queued_bytes && !leaves_replies_lying();
}

bool ReadConnection::PumpHeldBack() {
  session::Outbox& outbox = session->outbox();
  if (!outbox.has_waiting() || outbox.Pump() == session::Outbox::kNothing) return false;
  session->back().OnSent();
  return true;
}

}  // namespace nearcall::rpc
