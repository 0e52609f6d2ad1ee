// SPDX-License-Identifier: Apache-2.0
#include "fuzz/hostile_client.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/limits.h"
#include "fuzz/hostile_handshake.h"
#include "transport/rendezvous.h"

namespace nearcall::fuzz {

namespace {

using transport::Transport;
using transport::TransportRow;

// Of the handshake in progress. One at a time.
TakenOffer* taken = nullptr;
const TransportRow* taken_row = nullptr;

base::Mapping MapRegion(const base::Fd& fd) {
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  return *base::Mapping::Map(fd, 0, static_cast<size_t>(size), base::Mapping::Access::kReadWrite);
}

// Takes the server's offer as the honest row does, and keeps a copy of it.
absl::StatusOr<std::unique_ptr<Transport>> AttachAndKeep(std::vector<base::Fd>&& fds,
                                                         const transport::Geometry& geometry,
                                                         const PeerIdentity& server) {
  for (const base::Fd& fd : fds) taken->fds.push_back(base::Duplicate(fd.get()));
  taken->geometry = geometry;
  if (taken_row->name == "shm") taken->region = MapRegion(fds[0]);
  return taken_row->attach(std::move(fds), geometry, server);
}

// Of a System V queue: the first byte chooses its type, which may be none of a lane.
void SendMessage(int queue, std::span<const std::byte> bytes) {
  const long type = bytes.empty() ? 1 : static_cast<long>(bytes[0]) + 1;  // NOLINT(google-runtime-int): msgop(2)
  std::vector<std::byte> message(sizeof(type));
  std::memcpy(message.data(), &type, sizeof(type));
  message.insert(message.end(), bytes.begin(), bytes.end());
  ::msgsnd(queue, message.data(), bytes.size(), IPC_NOWAIT);
}

}  // namespace

HostileClient::HostileClient(int socket, size_t transport) {
  TransportRow row = transport::Transports()[transport];
  row.attach = &AttachAndKeep;
  row.traits = 0;  // a descriptor's address names none
  taken = &offer_;
  taken_row = &transport::Transports()[transport];
  auto connection =
      transport::Connect(*transport::ParseAddress(absl::StrCat("fd:", socket)),
                         {.deadline = base::AfterNow(absl::Seconds(10)),
                          .terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 64, .stream_window = 5000},
                          .transports = std::span(&row, 1)});
  if (!connection.ok()) {
    std::cerr << "the client cannot connect: " << connection.status() << '\n';
    std::abort();
  }
  connection_ = *std::move(connection);
}

wire::FrameHeader HostileClient::NextHeader(int lane) {
  wire::FrameHeader header;
  header.flags = wire::kFirst | wire::kLast;
  header.priority = static_cast<uint8_t>(lane);
  header.sequence = ++sequences_[static_cast<size_t>(lane)];
  header.source_id = connection_.local_id;
  return header;
}

void HostileClient::SendFrame(std::span<const std::byte> frame) {
  Transport& transport = *connection_.transport;
  if (frame.empty() || frame.size() > transport.max_frame_size()) return;
  const Unblocked unblocked(*this);
  if (!transport.Flush()) return;
  const std::span<std::byte> room = transport.Reserve(frame.size(), 0);
  if (room.empty()) return;
  transport.Fill(room, frame);
  transport.Commit();
  transport.Flush();
  transport.Notify();
}

void HostileClient::SendRaw(std::span<const std::byte> bytes) {
  const Unblocked unblocked(*this);
  if (connection_.transport->name() == "pipe") {
    static_cast<void>(!::write(offer_.fds[0].get(), bytes.data(), bytes.size()));
  } else if (connection_.transport->name() == "mq") {
    const unsigned priority = bytes.empty() ? 0 : static_cast<unsigned>(bytes[0]);
    ::mq_send(offer_.fds[0].get(), reinterpret_cast<const char*>(bytes.data()), bytes.size(), priority);
  } else if (connection_.transport->name() == "sysv") {
    SendMessage(static_cast<int>(offer_.geometry[0]), bytes);
  }
}

void HostileClient::FallAsleep() {
  if (!region().empty()) connection_.transport->Arm(Transport::kFrames, 0);
}

std::span<std::byte> HostileClient::bell_page() {
  return region().last(region().empty() ? 0 : base::PageSize());
}

void HostileClient::WriteBell(size_t at, std::span<const std::byte> bytes) {
  const std::span<std::byte> page = bell_page();
  if (page.empty()) return;
  at %= page.size();
  std::copy_n(bytes.begin(), std::min(bytes.size(), page.size() - at), page.begin() + static_cast<ptrdiff_t>(at));
}

void HostileClient::WriteBellOften(uint32_t seed, size_t times) {
  std::minstd_rand random(seed);
  for (size_t i = 0; i < times; ++i) {
    const std::array<uint32_t, 2> bytes = {static_cast<uint32_t>(random() * 2), static_cast<uint32_t>(random())};
    // Half of them where the semaphore is.
    const size_t at = random() % (i % 2 == 0 ? 16 : 4096);
    WriteBell(at, std::as_bytes(std::span(bytes)).first(1 + random() % sizeof(bytes)));
  }
}

void HostileClient::SetBlocking(bool blocking) {
  blocking_ = blocking;
  SetFlags(blocking);
}

void HostileClient::SetFlags(bool blocking) {
  for (const base::Fd& fd : offer_.fds) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    ::fcntl(fd.get(), F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    // Message queues have flags of their own.
    mq_attr attributes{};
    attributes.mq_flags = blocking ? 0 : O_NONBLOCK;
    ::mq_setattr(fd.get(), &attributes, nullptr);
  }
}

void HostileClient::Ring() {
  connection_.transport->Ring();
}

void HostileClient::SendControl(std::span<const std::byte> bytes) {
  ::send(connection_.control.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void HostileClient::SendControlWithDescriptor(std::span<const std::byte> bytes, const base::Fd& fd) {
  SendWithDescriptor(connection_.control.get(), bytes, fd);
}

void HostileClient::Read(size_t count) {
  const Unblocked unblocked(*this);
  Transport& transport = *connection_.transport;
  for (size_t i = 0; i < count; ++i) {
    size_t size = 0;
    if (transport.Peek(size) != Transport::ReadState::kFrame) break;
    std::vector<std::byte> frame(size);
    transport.CopyOut(0, frame);
    transport.Pop();
  }
  transport.Release();
}

}  // namespace nearcall::fuzz
