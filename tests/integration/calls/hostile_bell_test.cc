// SPDX-License-Identifier: Apache-2.0

// Peers that write over the bell that both sides can write (shm): they harm nobody but themselves.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/futex.h"
#include "base/shared_memory.h"
#include "child.h"
#include "fixture.h"
#include "measured.h"
#include "raw_peer.h"
#include "transport/shm/layout.h"

namespace nearcall::integration {
namespace {

using transport::Transport;
using transport::TransportOffer;
using transport::TransportRow;
using wire::FrameHeader;
using wire::FrameKind;

const TransportRow& Shm() {
  return *transport::FindTransport("shm");
}

// The bell page of this process's latest connection, as either side may map it.
base::Mapping kept;

void Keep(const base::Fd& region_of_the_client, size_t ring_size) {
  kept = Must(base::Mapping::Map(region_of_the_client, transport::shm::BellOffset(ring_size), base::PageSize(),
                                 base::Mapping::Access::kReadWrite));
}

absl::StatusOr<std::unique_ptr<Transport>> AttachAndKeep(std::vector<base::Fd>&& fds,
                                                         const transport::Geometry& geometry,
                                                         const PeerIdentity& server) {
  Keep(fds[0], geometry[0]);
  return Shm().attach(std::move(fds), geometry, server);
}

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferAndKeep(const transport::TransportConfig& config,
                                                             const PeerIdentity& client) {
  auto offer = Shm().offer(config, client);
  if (offer.ok()) Keep(base::Duplicate((*offer)->fds()[0]), config.ring_size_bytes);
  return offer;
}

// What glibc's semaphore has at these offsets: its count, how many wait, and which kind of futex it is.
struct Pattern {
  uint32_t count;
  uint32_t waiters;
  uint32_t kind;
  uint32_t padding = 0;
};

// All over the page.
void Write(const Pattern& pattern) {
  const std::span<std::byte> page = kept.bytes();
  for (size_t at = 0; at < page.size(); at += sizeof(pattern)) std::memcpy(&page[at], &pattern, sizeof(pattern));
}

std::vector<Pattern> Patterns() {
  const unsigned seed = std::random_device()();
  ::testing::Test::RecordProperty("seed", absl::StrCat(seed));
  std::mt19937 random(seed);
  std::vector<Pattern> patterns;
  for (const uint32_t kind : {0u, 0x80u, 0x81u, 0x86u, 0x87u, 0x7f00u, static_cast<uint32_t>(random())}) {
    for (const uint32_t count : {0u, 1u, 0x7fffffffu, 0xffffffffu, static_cast<uint32_t>(random())}) {
      for (const uint32_t waiters : {0u, 1u, 0xffffffffu}) patterns.push_back({count, waiters, kind});
    }
  }
  return patterns;
}

std::string TextOf(const Pattern& pattern) {
  return absl::StrCat("count ", absl::Hex(pattern.count), " waiters ", absl::Hex(pattern.waiters), " kind ",
                      absl::Hex(pattern.kind));
}

class HostileBellTest : public IntegrationTest {
 protected:
  void SetUp() override {
    if (TransportName() != "shm") GTEST_SKIP() << "skipped: only shm has a bell that a peer can write";
  }
  void TearDown() override { kept = {}; }

  // A server in a process of its own, which is up.
  std::unique_ptr<Child> ServerProcess() {
    auto server = std::make_unique<Child>([this](Link& parent) {
      const auto running = StartServer();
      parent.Tell("up");
      parent.Await();
    });
    EXPECT_EQ(server->link().Await(), "up");
    return server;
  }

  static void ExpectServed(const Echo::Stub& stub, const std::string& when) {
    const absl::Status status = stub.Say(MakeBlob("still here"), {.timeout = absl::Seconds(10)}).status();
    ASSERT_TRUE(status.ok()) << "the honest client was not served: " << when << ": " << status;
  }

  // The server is well, and ends as it should.
  static void ExpectAlive(Child& server) {
    server.link().Tell("end");
    EXPECT_EQ(server.Join(), 0);
  }
};

// A client whose server has a reason to ring for each reply.
class SleepyClient {
 public:
  SleepyClient() : client_(Address(), {.max_message_size = 1 << 20, .max_calls_in_flight = 16}, {&row_, 1}) {}

  void SayAndSleep() {
    Transport& transport = *client_.connection().transport;
    transport.Arm(Transport::kFrames, 0);
    FrameHeader header = client_.Header(FrameKind::kRequest, 0);
    header.sequence = header.call_id = ++calls_;
    client_.Send(header);
    client_.Receive();
    transport.Disarm();
  }

 private:
  TransportRow row_ = [] {
    TransportRow row = Shm();
    row.attach = &AttachAndKeep;
    return row;
  }();
  RawClient client_;
  uint64_t calls_ = 0;
};

TEST_F(HostileBellTest, AClientThatWritesOverItsBellHarmsNobody) {
  const auto patterns = Patterns();
  const auto server = ServerProcess();
  Child hostile([&](Link& parent) {
    SleepyClient client;
    for (const Pattern& pattern : patterns) {
      Write(pattern);
      client.SayAndSleep();
      parent.Tell("written");
      parent.Await();
    }
  });
  const Echo::Stub honest = ConnectStub();
  for (const Pattern& pattern : patterns) {
    ASSERT_EQ(hostile.link().Await(), "written") << TextOf(pattern);
    ASSERT_NO_FATAL_FAILURE(ExpectServed(honest, TextOf(pattern)));
    hostile.link().Tell();
  }
  EXPECT_EQ(hostile.Join(), 0);
  ExpectServed(honest, "after its end");
  ExpectAlive(*server);
}

// Some bytes at some place, half of the time where the semaphore is.
void WriteAnything(std::mt19937_64& random) {
  const std::span<std::byte> page = kept.bytes();
  const uint64_t bytes = random();
  const uint64_t where = random();
  const size_t at = where % 2 == 0 ? where / 2 % 16 : where / 2 % (page.size() - sizeof(bytes));
  std::memcpy(&page[at], &bytes, 1 + random() % sizeof(bytes));
}

TEST_F(HostileBellTest, AClientThatWritesThereAtAnyTimeHarmsNobody) {
  const size_t count = TortureCount("NEARCALL_BELL_WRITES", 200'000);
  const auto server = ServerProcess();
  Child hostile([&](Link& parent) {
    SleepyClient client;
    std::atomic<bool> written{false};
    std::jthread writer([&] {
      std::mt19937_64 random(std::random_device{}());
      for (size_t i = 0; i < count; ++i) WriteAnything(random);
      written = true;
    });
    while (!written) client.SayAndSleep();
    parent.Tell("written");
  });
  const Echo::Stub honest = ConnectStub();
  std::atomic<bool> written{false};
  std::jthread listener([&] {
    EXPECT_EQ(hostile.link().Await(), "written");
    written = true;
  });
  size_t calls = 0;
  do {
    ASSERT_NO_FATAL_FAILURE(ExpectServed(honest, absl::StrCat("call ", calls++)));
  } while (!written);
  listener.join();
  std::cout << count << " writes, " << calls << " honest calls meanwhile\n";
  EXPECT_EQ(hostile.Join(), 0);
  ExpectAlive(*server);
}

// A server that answers nothing, and a client that calls in a process of its own, in vain, when it is told to.
class HostileServersBellTest : public HostileBellTest {
 protected:
  // What a call in vain ended with, or nothing if it did not end.
  static constexpr char kInTime[] = "in time";

  void SetUp() override {
    HostileBellTest::SetUp();
    if (IsSkipped()) return;
    door_ = std::make_unique<RawDoor>(Address());
    client_ = std::make_unique<Child>([this](Link& parent) {
      const auto channel = Connect({.max_spin = absl::ZeroDuration()});
      const Echo::Stub stub(channel);
      for (std::string text = parent.Await(); absl::StartsWith(text, "call "); text = parent.Await()) {
        const absl::Duration timeout = absl::Milliseconds(std::stoi(text.substr(5)));
        const absl::Status status = stub.Say(MakeBlob(""), {.timeout = timeout}).status();
        parent.Tell(absl::IsDeadlineExceeded(status) ? kInTime : status.ToString());
      }
    });
    row_.offer = &OfferAndKeep;
    server_ = std::make_unique<RawServer>(*door_, row_);
  }

  // The client's word after a call of so long.
  std::string Call(int timeout_ms) {
    client_->link().Tell(absl::StrCat("call ", timeout_ms));
    return client_->link().Await();
  }

  void ExpectAlive() {
    client_->link().Tell("end");
    EXPECT_EQ(client_->Join(), 0);
  }

  std::unique_ptr<RawDoor> door_;
  std::unique_ptr<Child> client_;
  TransportRow row_ = Shm();
  std::unique_ptr<RawServer> server_;
};

TEST_F(HostileServersBellTest, WhateverItWritesTheClientsCallsEndAtTheirDeadline) {
  for (const Pattern& pattern : Patterns()) {
    Write(pattern);
    ASSERT_EQ(Call(5), kInTime) << TextOf(pattern);
  }
  ExpectAlive();
}

TEST_F(HostileServersBellTest, WheneverItWritesTheClientsCallsEndAtTheirDeadline) {
  const auto patterns = Patterns();
  std::jthread writer([&](const std::stop_token& stop) {
    auto& word = *reinterpret_cast<std::atomic<uint32_t>*>(kept.bytes().data());
    for (size_t i = 0; !stop.stop_requested(); ++i) {
      Write(patterns[i % patterns.size()]);
      if (i % 16 == 0) base::FutexWake(word, base::kFutexAll, base::FutexScope::kShared);
    }
  });
  for (int i = 0; i < 5; ++i) ASSERT_EQ(Call(50), kInTime);
  writer.request_stop();
  writer.join();
  ExpectAlive();
}

}  // namespace
}  // namespace nearcall::integration
