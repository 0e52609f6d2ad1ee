// SPDX-License-Identifier: Apache-2.0
#include "raw_peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/limits.h"
#include "base/syscall.h"
#include "fixture.h"
#include "transport/address.h"
#include "transport/framing.h"
#include "transport/rendezvous/control_message.h"
#include "transport_under_test.h"

namespace nearcall::integration {

namespace {

constexpr int kLongMs = 30'000;

// Whether one of `events` comes, within a long time.
bool Poll(int fd, short events) {
  pollfd item{.fd = fd, .events = events, .revents = 0};
  return base::Retry([&] { return ::poll(&item, 1, kLongMs); }) > 0;
}

std::vector<std::byte> FrameOf(const wire::FrameHeader& header) {
  std::vector<std::byte> frame(wire::kHeaderSize + header.payload_size);
  wire::EncodeHeader(header, frame);
  return frame;
}

}  // namespace

base::Fd ConnectRaw(const std::string& path) {
  base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("connect " + path);
  }
  return fd;
}

bool HangsUp(int socket) {
  while (Poll(socket, POLLIN)) {
    if (Receive(socket).empty()) return true;
  }
  return false;
}

std::vector<std::byte> Receive(int socket) {
  std::vector<std::byte> bytes(4096);
  if (!Poll(socket, POLLIN)) throw std::runtime_error("nothing came");
  const ssize_t size = base::Retry([&] { return ::recv(socket, bytes.data(), bytes.size(), 0); });
  bytes.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return bytes;
}

void Send(int socket, std::span<const std::byte> bytes) {
  base::Retry([&] { return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
}

wire::FrameHeader RawPeer::Header(wire::FrameKind kind, size_t payload_size) const {
  wire::FrameHeader header;
  header.kind = kind;
  header.flags = wire::kFirst | wire::kLast;
  if (kind == wire::FrameKind::kRequest) header.flags |= wire::kEnd;
  header.priority = static_cast<uint8_t>(Priority::kNormal);
  header.payload_size = header.message_size = static_cast<uint32_t>(payload_size);
  header.sequence = 1;
  header.call_id = 1;
  header.method_id = internal::MethodId("nearcall.integration.Echo/Say");
  header.source_id = connection_.local_id;
  return header;
}

void RawPeer::Send(const wire::FrameHeader& header) {
  Send(FrameOf(header));
}

bool RawPeer::TrySend(const wire::FrameHeader& header) {
  return TrySend(FrameOf(header));
}

void RawPeer::Send(std::span<const std::byte> frame) {
  if (!Eventually([&] { return TrySend(frame); })) throw std::runtime_error("the peer does not read");
}

void RawPeer::SendInSilence(const wire::FrameHeader& header) {
  if (!Eventually([&] { return TryWrite(FrameOf(header)); })) throw std::runtime_error("the peer does not read");
}

bool RawPeer::TrySend(std::span<const std::byte> frame) {
  if (!TryWrite(frame)) return false;
  // As an honest client does that has waited for a while: the server may be in a handler.
  if (!connection_.transport->Ring()) {
    SendControl(transport::EncodeControl({.kind = transport::ControlMessage::Kind::kRing}));
  }
  return true;
}

bool RawPeer::TryWrite(std::span<const std::byte> frame) {
  transport::Transport& transport = *connection_.transport;
  if (!transport.Flush()) return false;
  const std::span<std::byte> room = transport.Reserve(frame.size(), 0);
  if (room.empty()) return false;
  transport.Fill(room, frame);
  transport.Commit();
  if (!Eventually([&] { return transport.Flush(); })) throw std::runtime_error("the peer does not read");
  transport.Notify();
  return true;
}

// Without a control socket the end is that of what is read, and control messages are notes between frames.
bool RawPeer::PeerHangsUp() const {
  if (connection_.control.valid()) return HangsUp(control());
  return Eventually([&] {
    pollfd item{.fd = connection_.transport->event_fds().readable, .events = POLLIN, .revents = 0};
    return ::poll(&item, 1, 0) == 1 && (item.revents & POLLHUP) != 0;
  });
}

void RawPeer::SendControl(std::span<const std::byte> bytes) const {
  if (connection_.control.valid()) return integration::Send(control(), bytes);
  const transport::Length length = transport::kNoteBit | static_cast<transport::Length>(bytes.size());
  std::vector<std::byte> note(sizeof(length));
  std::memcpy(note.data(), &length, sizeof(length));
  note.insert(note.end(), bytes.begin(), bytes.end());
  const int fifo = connection_.transport->event_fds().writable;
  // A note is whole, or not there.
  const auto wrote = [&] { return base::Retry([&] { return ::write(fifo, note.data(), note.size()); }) >= 0; };
  if (!Eventually(wrote)) throw std::runtime_error("the peer does not read");
}

wire::FrameHeader RawPeer::Receive() {
  transport::Transport& transport = *connection_.transport;
  size_t size = 0;
  const auto has_frame = [&] { return transport.Peek(size) == transport::Transport::ReadState::kFrame; };
  if (!Eventually(has_frame) || size < wire::kHeaderSize) throw std::runtime_error("no frame came");
  std::array<std::byte, wire::kHeaderSize> bytes;
  transport.CopyOut(0, bytes);
  transport.Pop();
  transport.Release();
  wire::FrameHeader header;
  Must(wire::DecodeHeader(bytes, size, header));
  return header;
}

RawClient::RawClient(absl::string_view address, transport::SessionTerms terms,
                     std::span<const transport::TransportRow> transports, uint64_t features)
    : RawPeer(Must(transport::Connect(
          Must(transport::ParseAddress(address)),
          {.deadline = base::AfterNow(kLong), .terms = terms, .transports = transports, .features = features}))) {}

RawDoor::RawDoor(absl::string_view address)
    : listener_(Must(transport::Listener::Bind(Must(transport::ParseAddress(address))))) {}

transport::Newcomer RawDoor::Accept() {
  if (!Poll(listener_->fd(), POLLIN)) throw std::runtime_error("no client came");
  return listener_->Accept();
}

base::Fd RawDoor::AcceptSocket() {
  if (!Poll(listener_->fd(), POLLIN)) throw std::runtime_error("no client came");
  return base::Fd(::accept4(listener_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

transport::Connection RawDoor::Serve(const transport::TransportRow& row, uint8_t max_descriptors) {
  using Progress = transport::ServerHandshake::Progress;
  const auto handshake = Accept().shake_hands({.transports = {&row},
                                               .config = {.ring_size_bytes = base::kDefaultRingSize},
                                               .terms = {.max_message_size = 1 << 20,
                                                         .max_calls_in_flight = 16,
                                                         .stream_window = 64 << 10,
                                                         .max_descriptors = max_descriptors},
                                               .server_id = 7,
                                               .connection_id = 8,
                                               .offers_side_socket = max_descriptors != 0});
  while (handshake->Step() == Progress::kWaiting) {
    if (!Poll(handshake->fd(), POLLIN)) throw std::runtime_error("the client says nothing");
  }
  Must(handshake->error());
  return handshake->Take();
}

}  // namespace nearcall::integration
