// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "transport/fault.h"
#include "transport/sysv/bell.h"
#include "transport/sysv/queue.h"

namespace nearcall::transport::sysv {

// Puts frames into a queue that only this end writes: so what room it once had it has until this end uses it, and the
// kernel is asked only when what is known of it is used up. A lane is a type of the kernel's, the highest the lowest
// type. Once the queue is gone there is no room any more.
//
// Used by the writing thread, except where a method says otherwise. `bell` and `fault` are lent.
class QueueWriter {
 public:
  QueueWriter(QueueId queue, size_t max_frame_size, Bell& bell, Fault& fault);

  // See Transport.
  std::span<std::byte> Reserve(size_t size, int lane);
  void Commit();
  // Rings, unless something that was sent before lies in the queue still: whoever has that before him looks again.
  void Notify();

  // Any thread.
  bool HasRoomFor(size_t size) const { return RoomNow() >= size; }
  bool PeerHasReadAll() const;

  QueueId queue() const { return queue_; }

 private:
  size_t RoomNow() const;
  void ReportFailedSend(int error, size_t size);

  const QueueId queue_;
  std::vector<std::byte> buffer_;  // a message: its type, and its bytes
  Bell& bell_;
  Fault& fault_;

  size_t room_ = 0;      // bytes that are sure to fit
  size_t reserved_ = 0;  // frame size of the open reservation, 0: none
  size_t sent_ = 0;      // messages since the last Notify()
};

}  // namespace nearcall::transport::sysv
