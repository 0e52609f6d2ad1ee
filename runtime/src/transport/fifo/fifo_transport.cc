// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_transport.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport::fifo {

FifoTransport::FifoTransport(std::shared_ptr<Line> line, std::unique_ptr<FdSleeper> sleeper)
    : line_(std::move(line)),
      sleeper_(std::move(sleeper)),
      reader_(line_->incoming(), line_->fault(), &line_->heard()) {}

void FifoTransport::Fill(std::span<std::byte> to, std::span<const std::byte> from) {
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

bool FifoTransport::Notify() {
  // What was left over waits for room, not for another attempt.
  if (line_->has_room()) line_->Flush();
  return false;
}

// A FIFO that has ended is readable for good.
Transport::WaitFds FifoTransport::WhatTellsNews() const {
  WaitFds fds = event_fds();
  if (reader_.ended()) fds.readable = -1;
  return fds;
}

bool FifoTransport::Arm(uint32_t interest, size_t /*room*/) {
  interest_ = interest;
  if (line_->fault().found()) return true;
  if ((interest & kFrames) != 0 && reader_.HasFrame()) return true;
  if ((interest & kRoom) != 0 && line_->has_room()) return true;
  std::array<pollfd, 2> items = PollItems(WhatTellsNews(), interest);
  return base::Retry([&] { return ::poll(items.data(), items.size(), /*timeout=*/0); }) != 0;
}

void FifoTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(sleeper_ != nullptr);
  sleeper_->Wait(WhatTellsNews(), interest_, until);
}

void FifoTransport::Interrupt() {
  if (sleeper_ != nullptr) sleeper_->Interrupt();
}

}  // namespace nearcall::transport::fifo
