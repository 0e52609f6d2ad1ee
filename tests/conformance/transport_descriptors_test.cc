// SPDX-License-Identifier: Apache-2.0

// Rule 10 of transport.h: descriptors come with the message that they were sent with, whatever the transport does to
// the order of frames; or the transport's row says that it carries none, and so does an error. Memory that is not
// copied is a descriptor. Over each row of the table, with the handshake that makes the side socket.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/buffer_memory.h"
#include "base/lent_blocks.h"
#include "base/limits.h"
#include "base/pool_block.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "support/temporary_directory.h"
#include "transport/carries_descriptors.h"
#include "transport/rendezvous.h"
#include "transport/side_socket.h"
#include "transport/transport_table.h"
#include "unit/session/frames.h"

namespace nearcall::transport::conformance {
namespace {

using session::testing::Header;
using session::testing::Kept;
using ::testing::HasSubstr;

constexpr int kPatience = 20'000;  // milliseconds

struct Ends {
  Connection client;
  Connection server;
};

// Both sides want a side socket.
Ends ShakeHands(const TransportRow& row) {
  int sockets[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
  const SessionTerms terms = {.max_message_size = 1 << 20, .max_descriptors = base::kMaxMessageDescriptors};
  const auto handshake =
      ServerHandshake::Start(base::Fd(sockets[0]), {.transports = {&row},
                                                    .config = {.ring_size_bytes = base::kDefaultRingSize},
                                                    .terms = terms,
                                                    .server_id = 7,
                                                    .connection_id = 8,
                                                    .offers_side_socket = true});
  TransportRow asked_for = row;
  asked_for.traits = 0;  // the address names none
  const auto dial =
      Dial::Start(*ParseAddress(absl::StrCat("fd:", sockets[1])),
                  {.terms = terms, .transports = {&asked_for, 1}, .features = kDescriptors}, Dial::Blocking::kNever);
  std::optional<absl::StatusOr<Connection>> connected;
  auto served = ServerHandshake::Progress::kWaiting;
  for (int i = 0; i < kPatience && (!connected || served == ServerHandshake::Progress::kWaiting); ++i) {
    if (!connected) connected = dial->Step();
    served = handshake->Step();
    if (!connected) ::poll(nullptr, 0, 1);
  }
  EXPECT_TRUE(connected && connected->ok()) << (connected ? connected->status() : absl::OkStatus());
  EXPECT_EQ(served, ServerHandshake::Progress::kDone) << handshake->error();
  return {.client = **std::move(connected), .server = handshake->Take()};
}

// What is written to one end, and read at the other.
class Direction {
 public:
  Direction(Connection& from, Connection& to)
      : to_(*to.transport),
        max_frame_size_(from.transport->max_frame_size()),
        outbox_(*from.transport, from.local_id, nullptr, from.side_socket.get()),
        letterbox_(*to.side_socket, base::kMaxMessageDescriptors, nullptr),
        inbox_(*to.transport, from.local_id, 1 << 20, nullptr, &letterbox_) {}

  void Send(uint64_t call, size_t lane, size_t size, std::vector<int> descriptors) {
    wire::FrameHeader header = Header(wire::FrameKind::kRequest, call, lane);
    header.flags = wire::kEnd;
    header.fd_count = static_cast<uint8_t>(descriptors.size());
    auto message = Kept(header, std::string(size, 'x'), max_frame_size_);
    message->descriptors = lent_.emplace_back(std::move(descriptors));
    outbox_.Keep(std::move(message));
  }

  // The next message; nothing if all have come.
  std::optional<wire::Message> Next() {
    for (int i = 0; i < kPatience;) {
      wire::Message message;
      outbox_.Pump();
      const session::Inbox::Event event = inbox_.Next(message);
      to_.Release();
      switch (event) {
        case session::Inbox::Event::kMessage:
          return message;
        case session::Inbox::Event::kProgress:
          break;
        case session::Inbox::Event::kEmpty:
          if (!outbox_.has_waiting()) return std::nullopt;
          ::poll(nullptr, 0, 1);
          ++i;
          break;
        default:
          ADD_FAILURE() << inbox_.error();
          return std::nullopt;
      }
    }
    ADD_FAILURE() << "something that waits does not come";
    return std::nullopt;
  }

  size_t kept() const { return letterbox_.kept(); }

 private:
  Transport& to_;
  const size_t max_frame_size_;
  std::deque<std::vector<int>> lent_;  // until they are sent
  session::Outbox outbox_;
  session::Letterbox letterbox_;
  session::Inbox inbox_;
};

// Known again by the file that it is of.
ino_t FileOf(int fd) {
  struct stat status {};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}

class DescriptorsContract : public ::testing::TestWithParam<size_t> {
 protected:
  const TransportRow& row() const { return Transports()[GetParam()]; }
  bool carries() const { return !row().has(kNoDescriptors); }

  nearcall::testing::NameDirectory names_;
};

INSTANTIATE_TEST_SUITE_P(All, DescriptorsContract, ::testing::Range(size_t{0}, Transports().size()),
                         [](const auto& test) { return std::string(Transports()[test.param].name); });

TEST_P(DescriptorsContract, Rule10WhoCarriesNoneSaysSo) {
  if (row().MeetsAtSocket()) {
    const Ends ends = ShakeHands(row());
    EXPECT_EQ(ends.client.side_socket != nullptr, carries());
    EXPECT_EQ(ends.server.side_socket != nullptr, carries());
  } else {
    EXPECT_FALSE(carries());
  }
  const absl::Status status = CarriesDescriptors(row().name);
  if (carries()) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("the ", row().name, " transport carries no descriptors")));
  for (const TransportRow& other : Transports()) {
    if (other.has(kNoDescriptors)) continue;
    EXPECT_THAT(status.message(), HasSubstr(other.name));
  }
}

// Messages of all lanes, some of many frames, most with descriptors: far more than the side socket holds.
TEST_P(DescriptorsContract, Rule10EachMessageHasItsOwn) {
  if (!carries()) return;
  constexpr uint64_t kMessages = 400;
  Ends ends = ShakeHands(row());
  for (const bool client_writes : {true, false}) {
    Direction direction(client_writes ? ends.client : ends.server, client_writes ? ends.server : ends.client);
    std::minstd_rand random(client_writes ? 1 : 2);
    std::array<base::Fd, 8> files;
    for (base::Fd& file : files) file = base::Fd(::memfd_create("rule 10", MFD_CLOEXEC));
    std::map<uint64_t, std::vector<ino_t>> sent;
    // So many may be kept of a connection. Those that have come are closed, but nobody says when.
    size_t left = base::kMaxHeldDescriptors;
    for (uint64_t call = 1; call <= kMessages; ++call) {
      std::vector<int> fds(random() % 4 == 0 ? 0 : std::min(left, 1 + random() % base::kMaxMessageDescriptors));
      left -= fds.size();
      for (int& fd : fds) sent[call].push_back(FileOf(fd = files[random() % files.size()].get()));
      direction.Send(call, random() % base::kLanes, random() % 8 == 0 ? 50'000 : random() % 100, fds);
    }
    for (uint64_t i = 0; i < kMessages; ++i) {
      const std::optional<wire::Message> message = direction.Next();
      ASSERT_TRUE(message);
      std::vector<ino_t> came;
      for (const int fd : message->descriptors.fds()) came.push_back(FileOf(fd));
      EXPECT_EQ(came, sent[message->header.call_id])
          << "call " << message->header.call_id << ": " << message->descriptors.refusal();
    }
    EXPECT_FALSE(direction.Next());
    EXPECT_EQ(direction.kept(), 0u);
  }
}

constexpr size_t kMemory = size_t{1} << 20;

bool AllAre(std::span<const std::byte> bytes, std::byte value) {
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), [value](std::byte byte) { return byte == value; });
}

// What nobody took is closed on a thread of its own.
bool BecomesIdle(const base::PoolBlock& block) {
  for (int i = 0; i < kPatience && !block.idle(); ++i) ::poll(nullptr, 0, 1);
  return block.idle();
}

TEST_P(DescriptorsContract, Rule10SealedMemoryIsReadWhereItWasWrittenAndOutlivesItsSender) {
  if (!carries()) return;
  for (const bool client_writes : {true, false}) {
    Ends ends = ShakeHands(row());
    auto written = Buffer::Memory::Allocate(kMemory);
    ASSERT_TRUE(written.ok()) << written.status();
    std::ranges::fill((*written)->mutable_bytes(), std::byte{7});
    std::shared_ptr<Buffer::Memory> read;
    {
      Direction direction(client_writes ? ends.client : ends.server, client_writes ? ends.server : ends.client);
      const auto open = [&] {
        direction.Send(1, 1, 50'000, {(*written)->fd()});
        const std::optional<wire::Message> message = direction.Next();
        EXPECT_TRUE(message && message->descriptors.fds().size() == 1);
        EXPECT_EQ(FileOf(message->descriptors.fds()[0]), FileOf((*written)->fd()));
        return Buffer::Memory::Open(message->descriptors.fds()[0], kMemory, Buffer::Memory::Sender::kStranger, nullptr);
      };
      EXPECT_EQ(open().status().code(), absl::StatusCode::kInternal) << "who may still write has not sealed it";
      ASSERT_TRUE((*written)->Seal().ok());
      auto opened = open();
      ASSERT_TRUE(opened.ok()) << opened.status();
      read = *std::move(opened);
    }
    ends = {};
    written->reset();
    EXPECT_TRUE(AllAre(read->bytes(), std::byte{7}));
    EXPECT_TRUE(read->mutable_bytes().empty());
  }
}

TEST_P(DescriptorsContract, Rule10LentMemoryIsTheSendersAgainWhenItsReaderHasGone) {
  if (!carries()) return;
  for (const bool client_writes : {true, false}) {
    Ends ends = ShakeHands(row());
    auto block = base::PoolBlock::Create(kMemory);
    ASSERT_TRUE(block.ok()) << block.status();
    {
      Direction direction(client_writes ? ends.client : ends.server, client_writes ? ends.server : ends.client);
      base::LentBlocks blocks(nullptr);
      for (const std::byte value : {std::byte{1}, std::byte{2}}) {
        std::ranges::fill((*block)->bytes(), value);
        base::Fd lease = (*block)->Lease();
        direction.Send(1, 1, 50'000, {lease.get()});
        std::optional<wire::Message> message = direction.Next();
        lease.Reset();
        ASSERT_TRUE(message && message->descriptors.fds().size() == 1);
        auto read = Buffer::Memory::OpenLent(std::move(message->descriptors), kMemory, blocks);
        ASSERT_TRUE(read.ok()) << read.status();
        EXPECT_TRUE(AllAre((*read)->bytes(), value));
        EXPECT_FALSE((*block)->idle());
        read->reset();
        EXPECT_TRUE((*block)->idle());
      }
      base::Fd lease = (*block)->Lease();
      direction.Send(1, 1, 10, {lease.get()});
      lease.Reset();
      EXPECT_FALSE((*block)->idle()) << "it is under way";
    }
    ends = {};
    EXPECT_TRUE(BecomesIdle(**block)) << "nobody took it";
  }
}

// A pipe of which the last writer has been passed, and was never taken.
TEST_P(DescriptorsContract, Rule10WhatNobodyTookIsClosedWithTheConnection) {
  if (!carries()) return;
  for (const bool client_writes : {true, false}) {
    Ends ends = ShakeHands(row());
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const base::Fd reader(pipe[0]);
    base::Fd writer(pipe[1]);
    {
      Direction direction(client_writes ? ends.client : ends.server, client_writes ? ends.server : ends.client);
      direction.Send(1, 1, 10, {writer.get()});
      writer.Reset();
    }
    pollfd end = {.fd = reader.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&end, 1, 0), 0) << "it is under way";
    ends = {};
    EXPECT_EQ(::poll(&end, 1, kPatience), 1);
    EXPECT_EQ(end.revents, POLLHUP);
  }
}

}  // namespace
}  // namespace nearcall::transport::conformance
