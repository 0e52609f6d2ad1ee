// SPDX-License-Identifier: Apache-2.0
#include "conformance/harness.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>

#include "base/syscall.h"
#include "transport/fifo/fifo_pair.h"
#include "transport/loopback/loopback.h"
#include "transport/mq/mq_pair.h"
#include "transport/pipe/pipe_pair.h"
#include "transport/shm/shm_pair.h"
#include "transport/sysv/sysv_pair.h"

namespace nearcall::transport::conformance {

namespace {

constexpr size_t kRingSize = 4096;

// Far longer than anything takes, even with a sanitizer on a busy machine.
constexpr int64_t kLostNs = 20'000'000'000;

int MillisecondsUntil(base::SteadyNs until) {
  if (until == base::kNever) return -1;
  return static_cast<int>(std::clamp<int64_t>((until - base::NowNs() + 999'999) / 1'000'000, 0, 1'000'000));
}

// Mostly small, sometimes anything up to the largest.
size_t RandomSize(std::mt19937_64& random, size_t max) {
  const size_t limit = random() % 4 == 0 ? max : std::min<size_t>(max, 200);
  return 1 + random() % limit;
}

}  // namespace

std::vector<Maker> AllTransports() {
  constexpr Maker::Attack kNotAttacked = Maker::kNotAttacked;
  return {
      {"loopback", [] { return MakeLoopbackPair({.capacity_bytes = kRingSize, .max_frame_size = kRingSize / 4 - 8}); },
       kNotAttacked},
      {"loopback_without_epoll", [] { return MakeLoopbackPair({.server_waits_in_epoll = false}); }, kNotAttacked},
      {"shm", [] { return shm::MakeShmPair(kRingSize); }, &AttackShm},
      {"shm_on_one_mapping", [] { return shm::MakeShmPairOnOneMapping(kRingSize); }, kNotAttacked},
      {"shm_with_a_socket_bell", [] { return shm::MakeShmPairWithSocketBell(kRingSize); }, kNotAttacked},
      // Frames of 4 KiB and more take another way through Fill().
      {"shm_with_a_larger_ring", [] { return shm::MakeShmPairOnOneMapping(16 * kRingSize); }, kNotAttacked},
      {"mq", [] { return mq::MakeMqPair({.max_messages = 4, .message_size = 256}); }, &AttackMq,
       Maker::Lanes::kOvertake},
      {"mq_with_large_messages", [] { return mq::MakeMqPair({.max_messages = 10, .message_size = 8192}); },
       kNotAttacked, Maker::Lanes::kOvertake},
      {"pipe", [] { return pipe::MakePipePair(); }, &AttackPipe},
      // A quarter of the largest frame.
      {"pipe_of_one_page", [] { return pipe::MakePipePair(4096); }, kNotAttacked},
      {"sysv", [] { return sysv::MakeSysvPair(); }, &AttackSysv, Maker::Lanes::kOvertake},
      {"fifo", [] { return fifo::MakeFifoPair(); }, &AttackFifo, Maker::Lanes::kInTurn, Maker::Death::kWakes},
  };
}

Bytes Pattern(size_t size, uint64_t seed) {
  Bytes bytes(size);
  uint64_t state = seed * 0x9e3779b97f4a7c15 + size;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

bool TrySend(Transport& transport, const Bytes& frame, int lane) {
  const std::span<std::byte> room = transport.Reserve(frame.size(), lane);
  if (room.empty()) return false;
  EXPECT_EQ(room.size(), frame.size());
  transport.Fill(room, frame);
  transport.Commit();
  transport.Flush();
  return true;
}

std::optional<Bytes> TryReceive(Transport& transport) {
  size_t size = 0;
  if (transport.Peek(size) != Transport::ReadState::kFrame) return std::nullopt;
  Bytes frame(size);
  transport.CopyOut(0, frame);
  transport.Pop();
  return frame;
}

std::vector<size_t> BoundarySizes(const Transport& transport) {
  const size_t max = transport.max_frame_size();
  std::vector<size_t> sizes = {1, 2, 7, 8, 9, 4095, 4096, 4097, max / 2};
  for (const size_t line : {64UL, 128UL, 256UL, 512UL}) {
    // The record's prefix takes 8 bytes of the first line, the frame's header 56.
    for (const size_t end : {line - 9, line - 8, line - 7, line - 1, line, line + 1}) sizes.push_back(end);
  }
  for (const size_t below : {65UL, 64UL, 63UL, 9UL, 8UL, 1UL, 0UL}) sizes.push_back(max - below);
  std::erase_if(sizes, [max](size_t size) { return size > max; });
  return sizes;
}

Sleeper::Sleeper(Transport& transport) : transport_(transport) {
  const auto [bell, readable, writable] = transport.wait_fds();
  if (bell == -1 && readable == -1 && writable == -1) return;
  epoll_ = base::Fd(::epoll_create1(EPOLL_CLOEXEC));
  const auto add = [&](int fd, uint32_t events) {
    epoll_event event{.events = events, .data = {}};
    if (fd != -1) {
      EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), 0);
    }
  };
  add(bell, EPOLLIN | EPOLLET);
  add(readable, EPOLLONESHOT);
  add(writable, EPOLLONESHOT);
}

bool Sleeper::Arm(uint32_t interest, size_t room) {
  if (transport_.Arm(interest, room)) return true;
  const auto [bell, readable, writable] = transport_.wait_fds();
  const auto watch = [&](int fd, uint32_t events) {
    epoll_event event{.events = events | EPOLLONESHOT, .data = {}};
    EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event), 0);
  };
  if (readable != -1 && (interest & Transport::kFrames) != 0) watch(readable, EPOLLIN);
  if (writable != -1 && (interest & Transport::kRoom) != 0) watch(writable, EPOLLOUT);
  return false;
}

bool Sleeper::Sleep(uint32_t interest, size_t room, base::SteadyNs until) {
  if (Arm(interest, room)) return true;
  const bool woken = Wait(until);
  transport_.Disarm();
  return woken;
}

bool Sleeper::Wait(base::SteadyNs until) {
  if (!epoll_.valid()) {
    transport_.Wait(until);
    return base::NowNs() < until;
  }
  epoll_event event{};
  if (base::Retry([&] { return ::epoll_wait(epoll_.get(), &event, 1, MillisecondsUntil(until)); }) != 1) return false;
  transport_.ClearBell();
  return true;
}

void BlockingEnd::SleepUntilSomething(uint32_t interest, size_t room) {
  if (sleeper_.Sleep(interest, room, base::AddNs(base::NowNs(), kLostNs))) return;
  std::fprintf(stderr, "a wake-up for interest %u was lost\n", interest);
  std::abort();
}

void BlockingEnd::Send(const Bytes& frame) {
  while (!TrySend(transport_, frame)) SleepUntilSomething(Transport::kRoom, frame.size());
  transport_.Notify();
  while (!transport_.Flush()) SleepUntilSomething(Transport::kRoom, frame.size());
}

Bytes BlockingEnd::Receive() {
  for (;;) {
    if (std::optional<Bytes> frame = TryReceive(transport_)) {
      transport_.Release();
      return *std::move(frame);
    }
    SleepUntilSomething(Transport::kFrames, 0);
  }
}

void BlockingEnd::Exchange(size_t count, uint64_t seed, uint64_t peer_seed) {
  std::mt19937_64 random(seed);
  std::mt19937_64 peer_random(peer_seed);
  const size_t max = transport_.max_frame_size();
  size_t sent = 0;
  size_t received = 0;
  size_t size = RandomSize(random, max);
  for (bool flushed = true; sent < count || received < count || !flushed; flushed = transport_.Flush()) {
    bool moved = false;
    if (sent < count && TrySend(transport_, Pattern(size, seed + sent))) {
      transport_.Notify();
      size = RandomSize(random, max);
      ++sent;
      moved = true;
    }
    if (const std::optional<Bytes> frame = TryReceive(transport_)) {
      transport_.Release();
      EXPECT_EQ(*frame, Pattern(RandomSize(peer_random, max), peer_seed + received)) << "frame " << received;
      ++received;
      moved = true;
    }
    if (moved) continue;
    SleepUntilSomething(
        (sent < count || !flushed ? Transport::kRoom : 0U) | (received < count ? Transport::kFrames : 0U), size);
  }
}

}  // namespace nearcall::transport::conformance
