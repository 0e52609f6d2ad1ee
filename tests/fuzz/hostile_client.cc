// SPDX-License-Identifier: Apache-2.0
#include "fuzz/hostile_client.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/limits.h"
#include "fuzz/hostile_handshake.h"
#include "transport/framing.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"

namespace nearcall::fuzz {

namespace {

using transport::Transport;
using transport::TransportRow;

base::Mapping MapRegion(const base::Fd& fd) {
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  return *base::Mapping::Map(fd, 0, static_cast<size_t>(size), base::Mapping::Access::kReadWrite);
}

// The server's hello, once it has come.
transport::HelloMessage AwaitHello(const base::Fd& socket) {
  for (;;) {
    auto message = transport::ReceiveHello(socket, transport::Taking::kTake);
    if (message.ok() && message->has_value()) return **std::move(message);
    pollfd readable = {.fd = socket.get(), .events = POLLIN, .revents = 0};
    if (message.ok() && ::poll(&readable, 1, 10'000) > 0) continue;
    std::cerr << "the server does not shake hands: " << message.status() << '\n';
    std::abort();
  }
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

HostileClient::HostileClient(const std::string& address, const TransportRow& row) {
  auto connection =
      transport::Connect(*transport::ParseAddress(address),
                         {.deadline = base::AfterNow(absl::Seconds(10)),
                          .terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 64, .stream_window = 5000},
                          .transports = std::span(&row, 1)});
  if (!connection.ok()) {
    std::cerr << "the client cannot connect: " << connection.status() << '\n';
    std::abort();
  }
  transport_ = std::move(connection->transport);
  id_ = connection->local_id;
}

HostileClient::HostileClient(int socket, const TransportRow& row) : control_(socket) {
  const transport::ClientHello hello = {
      .features = transport::kDescriptors,
      .transports = uint32_t{1} << row.bit,
      .terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 64, .stream_window = 5000, .max_descriptors = 16}};
  static_cast<void>(transport::SendHello(control_, transport::Encode(hello)));
  transport::HelloMessage answer = AwaitHello(control_);
  const auto offer = transport::DecodeServerHello(answer.bytes);
  if (!offer.ok() || !offer->status.ok()) {
    std::cerr << "the client cannot connect: " << (offer.ok() ? offer->status : offer.status()) << '\n';
    std::abort();
  }
  if ((offer->features & transport::kDescriptors) != 0) {
    side_socket_ = std::move(answer.fds.back());
    answer.fds.pop_back();
  }
  for (const base::Fd& fd : answer.fds) offer_.fds.push_back(base::Duplicate(fd.get()));
  offer_.geometry = offer->geometry;
  if (row.name == "shm") offer_.region = MapRegion(answer.fds[0]);
  const PeerIdentity server = {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
  transport_ = *row.attach(std::move(answer.fds), offer->geometry, server);
  id_ = offer->connection_id;
  static_cast<void>(transport::SendHello(control_, transport::EncodeAck(absl::StatusCode::kOk)));
}

wire::FrameHeader HostileClient::NextHeader(int lane) {
  wire::FrameHeader header;
  header.flags = wire::kFirst | wire::kLast;
  header.priority = static_cast<uint8_t>(lane);
  header.sequence = ++sequences_[static_cast<size_t>(lane)];
  header.source_id = id_;
  return header;
}

void HostileClient::SendFrame(std::span<const std::byte> frame) {
  Transport& transport = *transport_;
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
  if (transport_->name() == "pipe") {
    static_cast<void>(!::write(offer_.fds[0].get(), bytes.data(), bytes.size()));
  } else if (transport_->name() == "mq") {
    const unsigned priority = bytes.empty() ? 0 : static_cast<unsigned>(bytes[0]);
    ::mq_send(offer_.fds[0].get(), reinterpret_cast<const char*>(bytes.data()), bytes.size(), priority);
  } else if (transport_->name() == "sysv") {
    SendMessage(static_cast<int>(offer_.geometry[0]), bytes);
  } else if (!control_.valid()) {
    static_cast<void>(!::write(fifo(), bytes.data(), bytes.size()));
  }
}

void HostileClient::FallAsleep() {
  if (!region().empty()) transport_->Arm(Transport::kFrames, 0);
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
  transport_->Ring();
}

void HostileClient::SendControl(std::span<const std::byte> bytes) {
  if (!control_.valid()) {
    const transport::Length length = transport::kNoteBit | static_cast<transport::Length>(bytes.size());
    static_cast<void>(!::write(fifo(), &length, sizeof(length)));
    static_cast<void>(!::write(fifo(), bytes.data(), bytes.size()));
    return;
  }
  ::send(control_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void HostileClient::SendControlWithDescriptor(std::span<const std::byte> bytes, const base::Fd& fd) {
  if (!control_.valid()) return SendControl(bytes);
  SendWithDescriptors(control_.get(), bytes, fd, 1);
}

void HostileClient::SendLetter(std::span<const std::byte> letter, const base::Fd& fd, size_t count) {
  SendWithDescriptors(side_socket_.get(), letter, fd, count);
}

void HostileClient::ReadLetters(size_t count) {
  std::array<std::byte, 64> letter;
  for (size_t i = 0; i < count; ++i) {
    if (::recv(side_socket_.get(), letter.data(), letter.size(), MSG_DONTWAIT) <= 0) break;
  }
}

void HostileClient::Read(size_t count) {
  const Unblocked unblocked(*this);
  Transport& transport = *transport_;
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
