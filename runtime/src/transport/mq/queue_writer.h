// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "transport/fault.h"
#include "transport/mq/queue_size.h"

namespace nearcall::transport::mq {

// Puts frames into a queue that only this end writes: so what room it once had it has until this end uses it, and the
// kernel is asked only when what is known of it is used up. Never blocks, whatever the peer has made of the flags of
// the descriptor.
//
// Used by the writing thread, except where a method says otherwise.
class QueueWriter {
 public:
  QueueWriter(base::Fd write_end, const QueueSize& size, Fault& fault)
      : queue_(std::move(write_end)), size_(size), buffer_(size.message_size), fault_(fault) {}

  // See Transport. A lane is a priority of the kernel's.
  std::span<std::byte> Reserve(size_t size, int lane);
  void Commit();

  // Any thread.
  bool HasRoom() const;
  bool PeerHasReadAll() const;

  int fd() const { return queue_.get(); }

 private:
  size_t RoomNow() const;
  void ReportFailedSend(int error);

  const base::Fd queue_;
  const QueueSize size_;
  std::vector<std::byte> buffer_;
  Fault& fault_;

  size_t room_ = 0;      // messages that are sure to fit
  size_t reserved_ = 0;  // frame size of the open reservation, 0: none
  unsigned lane_ = 0;    // of the open reservation
};

}  // namespace nearcall::transport::mq
