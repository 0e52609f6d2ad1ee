// SPDX-License-Identifier: Apache-2.0
#include "transport/loopback/loopback.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/syscall.h"
#include "transport/doorbell.h"

namespace nearcall::transport {

namespace {

using Frame = std::vector<std::byte>;

// One end as the other one may see it.
struct EndState {
  std::deque<Frame> inbox;
  size_t inbox_bytes = 0;  // committed by the peer, not yet released by this end
  uint32_t interest = 0;   // 0: awake, or rung
  bool rung = false;
  base::Fd bell;  // invalid: the end sleeps in Wait()
};

struct Shared {
  void Ring(EndState& end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  LoopbackConfig config;
  base::Mutex mutex;
  base::CondVar changed;
  std::array<EndState, 2> ends ABSL_GUARDED_BY(mutex);
};

void Shared::Ring(EndState& end) {
  end.rung = true;
  changed.NotifyAll();
  const uint64_t one = 1;
  if (!end.bell.valid()) return;
  [[maybe_unused]] const ssize_t written = base::Retry([&] { return ::write(end.bell.get(), &one, sizeof(one)); });
}

class LoopbackTransport final : public Transport {
 public:
  LoopbackTransport(std::shared_ptr<Shared> shared, size_t own, int bell)
      : shared_(std::move(shared)), own_index_(own), bell_(bell) {}

  absl::string_view name() const override { return "loopback"; }
  size_t max_frame_size() const override { return shared_->config.max_frame_size; }

  std::span<std::byte> Reserve(size_t size, int lane) override;
  void Fill(std::span<std::byte> to, std::span<const std::byte> from) override {
    std::copy(from.begin(), from.end(), to.begin());
  }
  void Commit() override;
  bool Notify() override;
  bool Ring() override;
  bool PeerHasReadAll() const override;

  ReadState Peek(size_t& size) override;
  void CopyOut(size_t offset, std::span<std::byte> to) override;
  void Pop() override;
  void Release() override;
  absl::Status error() const override { return absl::OkStatus(); }

  bool Arm(uint32_t interest, size_t room) override;
  void Disarm() override;
  void Wait(base::SteadyNs until) override;
  void Interrupt() override;
  WaitFds wait_fds() const override { return {.bell = bell_}; }
  void ClearBell() override;
  bool can_spin() const override { return true; }

 private:
  EndState& own() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->mutex) { return shared_->ends[own_index_]; }
  EndState& peer() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->mutex) { return shared_->ends[1 - own_index_]; }
  bool HasRoom(size_t size) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->mutex) {
    return size <= shared_->config.capacity_bytes - peer().inbox_bytes;
  }
  bool RingIfSleepingFor(Interest what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared_->mutex);

  const std::shared_ptr<Shared> shared_;
  const size_t own_index_;
  const int bell_;

  Frame reserved_;          // of the writing thread
  bool committed_ = false;  // since the last Notify()

  Frame current_;            // of the reading thread
  size_t popped_bytes_ = 0;  // since the last Release()
};

std::span<std::byte> LoopbackTransport::Reserve(size_t size, int /*lane*/) {
  NEARCALL_CHECK(size > 0 && size <= max_frame_size());
  reserved_.clear();
  base::MutexLock lock(shared_->mutex);
  if (!HasRoom(size)) return {};
  reserved_.resize(size);
  return reserved_;
}

void LoopbackTransport::Commit() {
  NEARCALL_CHECK(!reserved_.empty());
  base::MutexLock lock(shared_->mutex);
  peer().inbox_bytes += reserved_.size();
  peer().inbox.push_back(std::exchange(reserved_, {}));
  committed_ = true;
}

bool LoopbackTransport::Notify() {
  if (!std::exchange(committed_, false)) return false;
  base::MutexLock lock(shared_->mutex);
  return RingIfSleepingFor(kFrames);
}

bool LoopbackTransport::Ring() {
  base::MutexLock lock(shared_->mutex);
  shared_->Ring(peer());
  return true;
}

bool LoopbackTransport::PeerHasReadAll() const {
  base::MutexLock lock(shared_->mutex);
  return peer().inbox_bytes == 0;
}

Transport::ReadState LoopbackTransport::Peek(size_t& size) {
  if (current_.empty()) {
    base::MutexLock lock(shared_->mutex);
    if (own().inbox.empty()) return ReadState::kEmpty;
    current_ = std::move(own().inbox.front());
    own().inbox.pop_front();
  }
  size = current_.size();
  return ReadState::kFrame;
}

void LoopbackTransport::CopyOut(size_t offset, std::span<std::byte> to) {
  NEARCALL_CHECK(offset <= current_.size() && to.size() <= current_.size() - offset);
  std::copy_n(current_.begin() + static_cast<ptrdiff_t>(offset), to.size(), to.begin());
}

void LoopbackTransport::Pop() {
  NEARCALL_CHECK(!current_.empty());
  popped_bytes_ += current_.size();
  current_.clear();
}

void LoopbackTransport::Release() {
  if (popped_bytes_ == 0) return;
  base::MutexLock lock(shared_->mutex);
  own().inbox_bytes -= std::exchange(popped_bytes_, 0);
  RingIfSleepingFor(kRoom);
}

bool LoopbackTransport::Arm(uint32_t interest, size_t room) {
  const bool has_current = !current_.empty();
  base::MutexLock lock(shared_->mutex);
  if ((interest & kFrames) != 0 && (has_current || !own().inbox.empty())) return true;
  if ((interest & kRoom) != 0 && HasRoom(room)) return true;
  own().interest = interest;
  return false;
}

void LoopbackTransport::Disarm() {
  base::MutexLock lock(shared_->mutex);
  own().interest = 0;
}

void LoopbackTransport::Wait(base::SteadyNs until) {
  NEARCALL_CHECK(bell_ == -1);
  base::MutexLock lock(shared_->mutex);
  while (!own().rung && base::NowNs() < until) shared_->changed.WaitUntil(shared_->mutex, until);
  own().rung = false;
}

void LoopbackTransport::Interrupt() {
  base::MutexLock lock(shared_->mutex);
  if (bell_ == -1) shared_->Ring(own());
}

void LoopbackTransport::ClearBell() {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken = base::Retry([&] { return ::read(bell_, &count, sizeof(count)); });
}

bool LoopbackTransport::RingIfSleepingFor(Interest what) {
  if ((peer().interest & what) == 0) return false;
  peer().interest = 0;
  shared_->Ring(peer());
  return true;
}

}  // namespace

absl::StatusOr<TransportPair> MakeLoopbackPair(const LoopbackConfig& config) {
  NEARCALL_CHECK(config.max_frame_size > 0 && config.max_frame_size <= config.capacity_bytes);
  auto shared = std::make_shared<Shared>();
  shared->config = config;
  int bell = -1;
  if (config.server_waits_in_epoll) {
    absl::StatusOr<base::Fd> fd = CreateDoorbell();
    if (!fd.ok()) return fd.status();
    bell = fd->get();
    base::MutexLock lock(shared->mutex);
    shared->ends[1].bell = *std::move(fd);
  }
  return TransportPair{.client = std::make_unique<LoopbackTransport>(shared, 0, -1),
                       .server = std::make_unique<LoopbackTransport>(shared, 1, bell)};
}

}  // namespace nearcall::transport
