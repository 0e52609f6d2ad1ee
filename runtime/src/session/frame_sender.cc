// SPDX-License-Identifier: Apache-2.0
#include "session/frame_sender.h"

#include "base/probes.h"

namespace nearcall::session {

void FrameSender::HandOver() {
  unannounced_ = false;
  flushed_ = transport_.Flush();
  if (flushed_) handed_over_ = sent_;
  if (transport_.Notify()) NEARCALL_PROBE2(wake, source_id_, sent_);
}

bool FrameSender::FlushRest() {
  if (flushed_ || !transport_.Flush()) return false;
  handed_over_ = sent_;
  return true;
}

}  // namespace nearcall::session
