// SPDX-License-Identifier: Apache-2.0
#include "transport/fd_sleeper.h"

#include <unistd.h>

#include <algorithm>

#include "transport/doorbell.h"

namespace nearcall::transport {

absl::StatusOr<std::unique_ptr<FdSleeper>> FdSleeper::Create() {
  absl::StatusOr<base::Fd> interrupt = CreateDoorbell();
  if (!interrupt.ok()) return interrupt.status();
  return std::unique_ptr<FdSleeper>(new FdSleeper(*std::move(interrupt)));
}

std::array<pollfd, 2> PollItems(const Transport::WaitFds& fds, uint32_t interest) {
  const bool frames = (interest & Transport::kFrames) != 0;
  const bool room = (interest & Transport::kRoom) != 0;
  return {{{.fd = frames ? fds.readable : -1, .events = POLLIN, .revents = 0},
           {.fd = room ? fds.writable : -1, .events = POLLOUT, .revents = 0}}};
}

void FdSleeper::Wait(const Transport::WaitFds& fds, uint32_t interest, base::SteadyNs until) {
  const auto [readable, writable] = PollItems(fds, interest);
  std::array<pollfd, 3> items = {{{.fd = interrupt_.get(), .events = POLLIN, .revents = 0}, readable, writable}};
  const timespec timeout = base::ToTimespec(std::max<int64_t>(0, until - base::NowNs()));
  // A signal ends it early, which is harmless: whoever waits looks, and comes back.
  ::ppoll(items.data(), items.size(), until == base::kNever ? nullptr : &timeout, nullptr);
  if (items[0].revents == 0) return;
  uint64_t ignored;
  [[maybe_unused]] const ssize_t taken = ::read(interrupt_.get(), &ignored, sizeof(ignored));
  // SUBTLE: after the read. Whoever interrupts sets this and then writes; the other way round his write could be taken
  // here and his mark be left, and then the next one would not write. An exchange, because it acquires: who has found
  // the mark set and not written is heard here only.
  interrupted_.exchange(false, std::memory_order_acq_rel);
}

void FdSleeper::Interrupt() {
  if (interrupted_.exchange(true, std::memory_order_seq_cst)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(interrupt_.get(), &one, sizeof(one));
}

}  // namespace nearcall::transport
