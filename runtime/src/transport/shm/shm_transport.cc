// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/shm_transport.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/cpu.h"
#include "transport/shm/streaming_copy.h"

namespace nearcall::transport::shm {

namespace {

// How long a peer that is not listened to is not looked at.
constexpr int64_t kNapNs = 1'000'000;

ControlPage& ControlOf(std::span<std::byte> region) {
  return *reinterpret_cast<ControlPage*>(region.data());
}
const ControlPage& ControlOf(std::span<const std::byte> region) {
  return *reinterpret_cast<const ControlPage*>(region.data());
}

}  // namespace

ShmTransport::ShmTransport(ShmEnd end)
    : end_(std::move(end)),
      ring_size_(end_.own_region.size() - RingOffset()),
      own_(ControlOf(end_.own_region)),
      peer_(ControlOf(end_.peer_region)),
      writer_(own_, peer_, end_.own_region.subspan(RingOffset()), fault_),
      reader_(own_, peer_, end_.peer_region.subspan(RingOffset()), fault_),
      vain_wakes_(peer_) {
  Store(own_.cpu, -1, std::memory_order_relaxed);
}

std::span<std::byte> ShmTransport::Reserve(size_t size, int /*lane*/) {
  return writer_.Reserve(size);
}

void ShmTransport::Fill(std::span<std::byte> to, std::span<const std::byte> from) {
  if (from.size() >= kStreamingMin) {
    StreamingCopy(to, from);
  } else if (!from.empty()) {
    std::memcpy(to.data(), from.data(), from.size());
  }
}

// No wake-up is lost: the writer stores its tail and then loads the interest, the sleeper stores its interest and then
// loads the tail, all seq_cst; so one of them sees the other. One ring for each sleep is enough: who was rung is awake.
bool ShmTransport::Notify() {
  if (!writer_.Publish()) return false;
  const uint64_t interest = Load(peer_.interest, std::memory_order_seq_cst);
  if ((interest & kFrames) == 0 || interest == rung_for_frames_) return false;
  rung_for_frames_ = interest;
  Ring();
  return true;
}

// As Notify(), with the head in place of the tail.
void ShmTransport::Release() {
  if (!reader_.Release()) return;
  const uint64_t interest = Load(peer_.interest, std::memory_order_seq_cst);
  if ((interest & kRoom) == 0 || interest == rung_for_room_) return;
  rung_for_room_ = interest;
  Ring();
}

bool ShmTransport::IsReady(uint32_t interest, size_t room) {
  return fault_.found() || ((interest & kFrames) != 0 && reader_.HasFrame()) ||
         ((interest & kRoom) != 0 && writer_.HasRoom(room));
}

bool ShmTransport::Arm(uint32_t interest, size_t room) {
  // Before the interest, so that whoever sees the sleeper does not see where he was.
  Store(own_.cpu, -1, std::memory_order_relaxed);
  vain_wakes_.Arm();
  Store(own_.interest, InterestWord(++sleeps_, interest), std::memory_order_seq_cst);
  if (!IsReady(interest, room)) return false;
  Disarm();
  return true;
}

void ShmTransport::Disarm() {
  Store(own_.cpu, base::CurrentCpu(), std::memory_order_relaxed);
  // Relaxed: a peer that sees it late rings once too often.
  Store(own_.interest, InterestWord(sleeps_, 0), std::memory_order_relaxed);
}

void ShmTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(end_.own_bell->can_wait());
  // Acquire: what the interrupting thread did before is seen.
  if (interrupted_.exchange(false, std::memory_order_acquire)) return;
  if (vain_wakes_.too_many()) return Nap(until);
  const bool rung = end_.own_bell->Wait(until);
  const bool interrupted = interrupted_.exchange(false, std::memory_order_acquire);
  vain_wakes_.NoteWait(/*by_ring=*/rung && !interrupted);
}

void ShmTransport::Nap(base::SteadyNs until) {
  base::SleepUntil(std::min(until, base::NowNs() + kNapNs));
  if (!end_.own_bell->Wait(/*until=*/0)) vain_wakes_.NoteQuietNap();
}

void ShmTransport::Interrupt() {
  interrupted_.store(true, std::memory_order_release);
  end_.own_bell->Interrupt();
  end_.peer_bell->Unblock();
}

int ShmTransport::peer_cpu() const {
  return std::max(Load(peer_.cpu, std::memory_order_relaxed), -1);
}

}  // namespace nearcall::transport::shm
