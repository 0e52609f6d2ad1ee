// SPDX-License-Identifier: Apache-2.0

// A peer that scribbles over all that it can write, while this side goes on. It may spoil its connection; the
// sanitizers watch that it spoils nothing else.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "base/shared_memory.h"
#include "support/sanitizers.h"
#include "transport/shm/layout.h"
#include "transport/shm/record.h"
#include "transport/shm/shm_offer.h"

namespace nearcall::transport::shm {
namespace {

constexpr size_t kRing = base::kMinRingSize;

// A server's end, and both regions as the client maps them.
struct Victim {
  std::unique_ptr<Transport> server;
  base::Mapping client_region;
  base::Mapping server_region;

  std::span<std::byte> region() const { return client_region.bytes(); }
  ControlPage& control() const { return *reinterpret_cast<ControlPage*>(region().data()); }
  const ControlPage& server_control() const {
    return *reinterpret_cast<const ControlPage*>(server_region.bytes().data());
  }
  std::atomic<uint64_t>& record(size_t offset) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(region().data() + RingOffset() + offset);
  }
};

Victim MakeVictim() {
  std::unique_ptr<TransportOffer> offer = *OfferShm({.ring_size_bytes = kRing});
  const base::Fd client_fd = base::Duplicate(offer->fds()[0]);
  const base::Fd server_fd = base::Duplicate(offer->fds()[1]);
  Victim victim;
  victim.client_region = *base::Mapping::Map(client_fd, 0, ClientRegionSize(kRing), base::Mapping::Access::kReadWrite);
  victim.server_region = *base::Mapping::Map(server_fd, 0, ServerRegionSize(kRing), base::Mapping::Access::kRead);
  EXPECT_TRUE(base::SealAgainstWriters(client_fd).ok());
  victim.server = *offer->Accept();
  return victim;
}

// Everything that a server does, once. False when the transport is broken.
bool UseOnce(Transport& transport, std::mt19937_64& random) {
  size_t size = 0;
  const Transport::ReadState state = transport.Peek(size);
  if (state == Transport::ReadState::kFrame) {
    EXPECT_GE(size, 1U);
    EXPECT_LE(size, transport.max_frame_size());
    std::vector<std::byte> copy(size);
    transport.CopyOut(0, copy);
    transport.Pop();
    transport.Release();
  }
  const std::span<std::byte> room = transport.Reserve(1 + random() % transport.max_frame_size(), 1);
  if (!room.empty()) {
    std::memset(room.data(), 0x5a, room.size());
    transport.Commit();
  }
  transport.Notify();
  transport.PeerHasReadAll();
  EXPECT_GE(transport.peer_cpu(), -1);
  if (!transport.Arm(Transport::kFrames | Transport::kRoom, 100)) transport.Disarm();
  return state != Transport::ReadState::kBroken;
}

// One thing that a hostile client might write: mostly what gets past the first check, so that the next one is reached.
void Scribble(const Victim& victim, std::mt19937_64& random) {
  const auto offset = static_cast<size_t>(random() % (kRing / kRecordAlign)) * kRecordAlign;
  switch (random() % 64) {
    case 0:
      victim.record(offset).store(random());
      break;
    case 1:
      victim.control().interest.store(random());
      victim.control().cpu.store(static_cast<int32_t>(random()));
      break;
    case 2:
      victim.control().head.store(victim.server_control().tail.load());
      break;
    case 3:
      victim.record(offset).store(RecordPrefix::ToWord(kRing - offset - kPrefixSize, RecordKind::kPadding));
      break;
    case 4:
      if (random() % 100 == 0) victim.control().tail.store(random() % 100'000);
      break;
    case 5:
    case 6:
    case 7:
      victim.control().tail.store(victim.server_control().head.load() + kRing);
      break;
    default:
      victim.record(offset).store(RecordPrefix::ToWord(1 + random() % 56, RecordKind::kFrame));
  }
}

TEST(ShmHostile, AScribblingClientBreaksItsOwnConnectionOnly) {
  if (nearcall::testing::kThreadSanitizer) GTEST_SKIP() << "races on purpose";
  constexpr uint64_t kSeed = 11;
  int used = 0;
  for (uint64_t round = 0; round < 100; ++round) {
    SCOPED_TRACE(::testing::Message() << "seed " << kSeed + round);
    const Victim victim = MakeVictim();
    std::atomic<bool> stop{false};
    std::thread client([&] {
      std::mt19937_64 random(kSeed + round);
      while (!stop) Scribble(victim, random);
    });
    std::mt19937_64 random(round);
    for (int i = 0; i < 5000 && UseOnce(*victim.server, random); ++i) ++used;
    stop = true;
    client.join();
  }
  EXPECT_GT(used, 1000) << "the scribbler was too coarse to test anything";
}

TEST(ShmHostile, ARandomRegionIsReadWithoutHarm) {
  constexpr uint64_t kSeed = 5;
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 50; ++round) {
    const Victim victim = MakeVictim();
    for (size_t offset = 0; offset < RingOffset() + kRing; offset += 8) {
      const uint64_t word = random();
      std::memcpy(victim.region().data() + offset, &word, sizeof(word));
    }
    victim.control().tail.store(random() % (kRing / 64) * 64);
    for (int i = 0; i < 100 && UseOnce(*victim.server, random); ++i) {
    }
  }
}

TEST(ShmHostile, ABrokenEndStaysBrokenAndDoesNotSleep) {
  const Victim victim = MakeVictim();
  victim.control().tail.store(1);
  size_t size = 0;
  EXPECT_EQ(victim.server->Peek(size), Transport::ReadState::kBroken);
  victim.control().tail.store(0);
  EXPECT_EQ(victim.server->Peek(size), Transport::ReadState::kBroken);
  EXPECT_TRUE(victim.server->Arm(Transport::kFrames, 0));
  EXPECT_EQ(victim.server->error().code(), absl::StatusCode::kInternal);
}

TEST(ShmHostile, AClientThatDoesNotReadIsNotWrittenTo) {
  const Victim victim = MakeVictim();
  int frames = 0;
  while (!victim.server->Reserve(1000, 1).empty()) {
    victim.server->Commit();
    ASSERT_LT(++frames, 100);
  }
  EXPECT_EQ(frames, 4);
}

TEST(ShmHostile, WhatTheClientOverwritesAfterCopyOutChangesNothing) {
  const Victim victim = MakeVictim();
  std::memset(victim.region().data() + RingOffset() + kPrefixSize, 0x11, 100);
  victim.record(0).store(RecordPrefix::ToWord(100, RecordKind::kFrame));
  victim.control().tail.store(128);
  size_t size = 0;
  ASSERT_EQ(victim.server->Peek(size), Transport::ReadState::kFrame);
  std::vector<std::byte> copy(size);
  victim.server->CopyOut(0, copy);
  std::memset(victim.region().data() + RingOffset(), 0x22, kRing);
  EXPECT_EQ(copy, std::vector<std::byte>(100, std::byte{0x11}));
  victim.server->Pop();
  EXPECT_EQ(victim.server->Peek(size), Transport::ReadState::kEmpty);
}

}  // namespace
}  // namespace nearcall::transport::shm
