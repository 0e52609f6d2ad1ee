// SPDX-License-Identifier: Apache-2.0
#include "transport/pipe/pipe_transport.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/syscall.h"

namespace nearcall::transport::pipe {

PipeTransport::PipeTransport(PipeEnd end)
    : end_(std::move(end)), writer_(end_.outgoing.get(), fault_), reader_(end_.incoming.get(), fault_) {}

std::span<std::byte> PipeTransport::Reserve(size_t size, int /*lane*/) {
  return writer_.Reserve(size);
}

void PipeTransport::Fill(std::span<std::byte> to, std::span<const std::byte> from) {
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

bool PipeTransport::Notify() {
  // What was left over waits for room, not for another attempt.
  if (writer_.has_room()) writer_.Flush();
  return false;
}

bool PipeTransport::Arm(uint32_t interest, size_t /*room*/) {
  interest_ = interest;
  if (fault_.found()) return true;
  if ((interest & kFrames) != 0 && reader_.HasFrame()) return true;
  if ((interest & kRoom) != 0 && writer_.has_room()) return true;
  std::array<pollfd, 2> items = PollItems(Fds(), interest);
  return base::Retry([&] { return ::poll(items.data(), items.size(), /*timeout=*/0); }) != 0;
}

void PipeTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(end_.sleeper != nullptr);
  end_.sleeper->Wait(Fds(), interest_, until);
}

void PipeTransport::Interrupt() {
  if (end_.sleeper != nullptr) end_.sleeper->Interrupt();
}

}  // namespace nearcall::transport::pipe
