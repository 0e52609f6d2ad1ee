// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/mq_transport.h"

#include <utility>

#include "base/check.h"

namespace nearcall::transport::mq {

MqTransport::MqTransport(MqEnd end)
    : max_frame_size_(end.size.message_size),
      sleeper_(std::move(end.sleeper)),
      writer_(std::move(end.write_end), end.size, fault_),
      reader_(std::move(end.read_end), end.size, fault_) {}

bool MqTransport::Arm(uint32_t interest, size_t /*room*/) {
  if (fault_.found()) return true;
  if ((interest & kFrames) != 0 && reader_.HasFrame()) return true;
  // A queue has room for messages, of whatever size.
  if ((interest & kRoom) != 0 && writer_.HasRoom()) return true;
  interest_ = interest;
  return false;
}

void MqTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(sleeper_ != nullptr);
  sleeper_->Wait(Fds(), interest_, until);
}

void MqTransport::Interrupt() {
  if (sleeper_ != nullptr) sleeper_->Interrupt();
}

}  // namespace nearcall::transport::mq
