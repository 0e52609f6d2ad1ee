// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "transport/fault.h"
#include "transport/mq/queue_size.h"
#include "transport/transport.h"

namespace nearcall::transport::mq {

// Takes frames out of a queue, the highest lane first: what was sent later in a higher lane overtakes. One message at a
// time is held in private memory. Never blocks, whatever the peer has made of the flags of the descriptor.
//
// Used by the reading thread.
class QueueReader {
 public:
  QueueReader(base::Fd read_end, const QueueSize& size, Fault& fault)
      : queue_(std::move(read_end)), buffer_(size.message_size), fault_(fault) {}

  // See Transport. A message without bytes, or with a priority that is no lane, is a fault.
  Transport::ReadState Peek(size_t& size);
  void CopyOut(size_t offset, std::span<std::byte> to) const;
  void Pop();

  bool HasFrame() const;

  int fd() const { return queue_.get(); }

 private:
  Transport::ReadState Receive();

  const base::Fd queue_;
  std::vector<std::byte> buffer_;
  Fault& fault_;
  size_t size_ = 0;  // of the message in the buffer, 0: none
};

}  // namespace nearcall::transport::mq
