// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.h"
#include "transport/fault.h"
#include "transport/sysv/bell.h"
#include "transport/sysv/queue.h"
#include "transport/transport.h"

namespace nearcall::transport::sysv {

// Takes frames out of a queue, the highest lane first: what was sent later in a higher lane overtakes. One message at a
// time is held in private memory.
//
// Used by the reading thread. `bell` and `fault` are lent.
class QueueReader {
 public:
  QueueReader(QueueId queue, size_t max_frame_size, Bell& bell, Fault& fault);

  // See Transport. A message without bytes, a larger one than a frame, or one with a type that is no lane, is a fault.
  // A queue that is gone is empty for a moment, in which its peer's end is told, and then a fault.
  Transport::ReadState Peek(size_t& size);
  void CopyOut(size_t offset, std::span<std::byte> to) const;
  void Pop();
  // Lets the writer look for room, if the queue can have been too full for him since the last time.
  void Release();

  // Whether there is something to Peek() at. Forgets what was rung before it looks.
  bool Look();

  QueueId queue() const { return queue_; }

 private:
  Transport::ReadState Receive();
  Transport::ReadState Fail(int error);
  Transport::ReadState OnGone();

  const QueueId queue_;
  std::vector<std::byte> buffer_;  // a message: its type, and its bytes
  Bell& bell_;
  Fault& fault_;

  size_t size_ = 0;   // of the message in the buffer, 0: none
  size_t taken_ = 0;  // bytes since the last Release()
  base::SteadyNs gone_since_ = 0;
};

}  // namespace nearcall::transport::sysv
